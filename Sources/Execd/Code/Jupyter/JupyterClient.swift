import JSON
import NIOCore
import NIOHTTP1

/// Calls of a Jupyter server's REST API: one connection each, to loopback. Redirects are not followed.
struct JupyterClient: Sendable {
    /// Why there is no answer.
    struct CallError: Error, Hashable, Sendable, CustomStringConvertible {
        let description: String
        /// Whether the same call may succeed a moment later.
        var isPassing = true
    }

    let server: JupyterServer
    let group: any EventLoopGroup

    private static let timeout = TimeAmount.seconds(15)

    var headers: HTTPHeaders {
        var headers: HTTPHeaders = ["host": "127.0.0.1:\(server.port)"]
        if let token = server.token { headers.add(name: "authorization", value: "token \(token)") }
        return headers
    }

    func call(_ method: HTTPMethod, _ path: String, _ body: JSONObject? = nil) async throws -> PlainCall.Answer {
        var head = HTTPRequestHead(version: .http1_1, method: method, uri: server.base + path, headers: headers)
        if body != nil { head.headers.add(name: "content-type", value: "application/json") }
        let bytes = body.map { ByteBuffer(bytes: JSONValue.object($0).encoded) }
        do {
            return try await PlainCall(host: "127.0.0.1", port: server.port, timeout: Self.timeout)
                .send(head, bytes, on: group)
        } catch PlainCall.CallError.brokenOff {
            throw CallError(description: "the Jupyter server broke its answer off")
        } catch {
            throw CallError(description: "no Jupyter server answers on port \(server.port)")
        }
    }

    /// - Returns: the answer, of a status below 300.
    func demand(_ method: HTTPMethod, _ path: String, _ body: JSONObject? = nil) async throws -> JSONValue {
        let answer = try await call(method, path, body)
        guard answer.status < 300 else {
            throw CallError(
                description: "the Jupyter server answered \(method) \(path.prefix(80)) with \(answer.status)",
                isPassing: answer.status >= 500)
        }
        return answer.json ?? .null
    }
}
