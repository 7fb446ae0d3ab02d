import HTTPClient
import JSON
import System

/// The lifecycle API of a server, as its clients see it.
package struct ServerAPI: Sendable {
    static let keyHeader = "OPEN-SANDBOX-API-KEY"

    package let origin: HTTPEndpoint
    let peer: HTTPPeer
    private let client: HTTPClient

    package init(_ location: ServerLocation, client: HTTPClient = .shared) {
        origin = location.origin
        var peer = HTTPPeer(location.origin)
        // A create may wait for an image.
        peer.deadlines = ClientDeadlines(total: nil, idle: 600_000)
        peer.limits.body = 64 << 20
        if let key = location.key { peer.headers.append((Self.keyHeader, key)) }
        self.peer = peer
        self.client = client
    }

    /// Asks, and reads the answer.
    /// - Returns: nil for an answer without a body.
    @discardableResult
    package func ask(_ method: String, _ path: String, _ body: JSONValue? = nil) async throws(ClientFailure)
        -> JSONValue?
    {
        let bytes = try await text(method, path, body?.encoded)
        guard !bytes.isEmpty else { return nil }
        do { return try JSONValue(bytes) } catch {
            throw ClientFailure(.notUnderstood, "\(origin) does not answer as a server of this kind: \(error)")
        }
    }

    /// The same, whatever the answer's form.
    /// - Parameters:
    ///   - body: JSON.
    ///   - headers: beside the key, such as an endpoint's.
    package func text(
        _ method: String, _ path: String, _ body: [UInt8]? = nil, headers: [(name: String, value: String)] = []
    ) async throws(ClientFailure) -> [UInt8] {
        let type = body == nil ? [] : [("Content-Type", "application/json")]
        let request = ClientRequest(method, path, headers: headers + type, body: body.map { .bytes($0) } ?? .none)
        let answer: ClientResponse
        do throws(HTTPClientError) { answer = try await client.send(request, to: peer) } catch {
            throw ClientFailure(error, asking: origin)
        }
        guard 200..<300 ~= answer.status else { throw ClientFailure(status: answer.status, body: answer.body) }
        return answer.body
    }

    /// What `GET /ready` says, be it yes or no; nil of a server that has no such route.
    package func readiness() async throws(ClientFailure) -> JSONValue? {
        let answer: ClientResponse
        do throws(HTTPClientError) { answer = try await client.send(ClientRequest("GET", "/ready"), to: peer) } catch {
            throw ClientFailure(error, asking: origin)
        }
        return answer.status == 200 || answer.status == 503 ? try? JSONValue(answer.body) : nil
    }

    /// Sends a request whose answer is read while it comes.
    package func stream(_ request: ClientRequest) async throws(ClientFailure) -> ResponseStream {
        let answer: ResponseStream
        do throws(HTTPClientError) { answer = try await client.stream(request, to: peer) } catch {
            throw ClientFailure(error, asking: origin)
        }
        guard 200..<300 ~= answer.status else {
            var body: [UInt8] = []
            while body.count < 64 << 10, let piece = try? await answer.body.next() { body += piece }
            throw ClientFailure(status: answer.status, body: body)
        }
        return answer
    }

    /// `/v1/sandboxes/{id}` with what follows.
    package static func path(_ sandbox: String, _ rest: String = "") -> String {
        "/v1/sandboxes/\(escaped(sandbox))\(rest)"
    }

    /// A text as one part of a path.
    package static func escaped(_ text: String) -> String { PercentEncoding.encode(text) }

    /// A query of these, empty if there are none.
    package static func query(_ pairs: [(name: String, value: String?)]) -> String {
        let given = pairs.compactMap { pair in pair.value.map { "\(pair.name)=\(PercentEncoding.encode($0))" } }
        return given.isEmpty ? "" : "?" + given.joined(separator: "&")
    }
}
