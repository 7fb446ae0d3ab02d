import HTTPClient
import JSON

/// A port of a sandbox, reached through the server: whoever reaches the API reaches it.
package struct SandboxPort: Sendable {
    /// execd's.
    package static let execd = 44772

    package let api: ServerAPI
    /// What its paths begin with at the server.
    private let prefix: String
    /// What it asks for, such as its access token.
    private let headers: [(name: String, value: String)]

    /// Asks the server for the way.
    package init(_ api: ServerAPI, sandbox: String, port: Int) async throws(ClientFailure) {
        self.api = api
        let answer = try await api.ask(
            "GET", ServerAPI.path(sandbox, "/endpoints/\(port)") + ServerAPI.query([("use_server_proxy", "true")]))
        // Its host may be one that this machine does not reach, and gets no token of ours.
        guard case .string(let endpoint)? = answer?["endpoint"], let slash = endpoint.firstIndex(of: "/") else {
            throw ClientFailure(.notUnderstood, "the server has no endpoint for port \(port)")
        }
        prefix = String(endpoint[slash...])
        var headers: [(name: String, value: String)] = []
        if case .object(let fields)? = answer?["headers"] {
            for field in fields.members {
                if case .string(let value) = field.value { headers.append((field.name, value)) }
            }
        }
        self.headers = headers
    }

    /// Asks, and reads the answer; nil for one without a body.
    package func ask(_ method: String, _ path: String, _ body: JSONValue? = nil) async throws(ClientFailure)
        -> JSONValue?
    {
        let bytes = try await api.text(method, prefix + path, body?.encoded, headers: headers)
        return bytes.isEmpty ? nil : try? JSONValue(bytes)
    }

    package func request(
        _ method: String, _ path: String, headers more: [(name: String, value: String)] = [],
        body: ClientRequest.Body = .none
    ) -> ClientRequest {
        ClientRequest(method, prefix + path, headers: headers + more, body: body)
    }
}
