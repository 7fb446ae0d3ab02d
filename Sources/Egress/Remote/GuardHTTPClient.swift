import Egress
import HTTPClient
import Tracing

/// Calls to one guard: its administrative socket, or its policy API.
package struct GuardHTTPClient: Sendable {
    package enum Address: Hashable, Sendable, CustomStringConvertible {
        case unix(path: String)
        /// A literal address.
        case tcp(host: String, port: Int)

        package var description: String {
            switch self {
            case .unix(let path): path
            case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
            }
        }

        /// Nil where it is no address.
        var peer: HTTPPeer? {
            switch self {
            case .unix(let path): HTTPPeer(unixSocket: path)
            case .tcp: HTTPEndpoint("http://\(self)").map { HTTPPeer($0) }
            }
        }
    }

    let address: Address
    /// What it asks for in `OPENSANDBOX-EGRESS-AUTH`; nil: nothing.
    let token: String?
    /// Whether nobody will answer soon. Given where the socket is kept open while the guard is started again: what is asked then
    /// waits in the socket, and what the guard has died of is asked once more. Every change may be made twice: the second one
    /// finds what it wants.
    let isAway: (@Sendable () -> Bool)?
    private let peer: HTTPPeer?

    /// - Parameter timeoutMilliseconds: for one call.
    package init(
        address: Address, token: String? = nil, isAway: (@Sendable () -> Bool)? = nil, timeoutMilliseconds: Int = 30_000
    ) {
        self.address = address
        self.token = token
        self.isAway = isAway
        var peer = address.peer
        peer?.headers = [("Content-Type", "application/json")] + (token.map { [(PolicyToken.header, $0)] } ?? [])
        peer?.deadlines = ClientDeadlines(total: UInt64(max(1, timeoutMilliseconds)))
        self.peer = peer
    }

    /// `path` is sent as it is; it must start with a slash and be percent-encoded already.
    package func send(
        _ method: String, _ path: String, body: [UInt8]? = nil
    ) async throws(EgressError) -> ClientResponse {
        guard let peer else { throw .remote("\(address) is no address") }
        let request = ClientRequest(
            method, path, body: body.map { .bytes($0) } ?? .none, mayRepeat: isAway == nil ? nil : true)
        let outcome = await ActiveSpan.within("guard " + method, .client) {
            await Self.outcome(of: request, from: peer)
        }
        switch outcome {
        case .success(let response): return response
        case .failure(.invalidRequest(let reason)), .failure(.unavailable(let reason)): throw .remote(reason)
        case .failure(let error): throw .unreachable("\(error) (\(address))")
        }
    }

    private static func outcome(
        of asked: ClientRequest, from peer: HTTPPeer
    ) async -> Result<ClientResponse, HTTPClientError> {
        var request = asked
        request.headers += ActiveSpan.current?.context.fields ?? []
        // A task of its own: a create that is called off undoes what it did, and its task is cancelled by then.
        return await Task { [request] () async -> Result<ClientResponse, HTTPClientError> in
            do throws(HTTPClientError) {
                return .success(try await HTTPClient.shared.send(request, to: peer))
            } catch {
                return .failure(error)
            }
        }.value
    }

    /// - Parameter id: of the sandbox that the call is about.
    /// - Throws: what the guard answers, as it would throw it here.
    func call(_ method: String, _ path: String, body: [UInt8]? = nil, of id: String) async throws(EgressError)
        -> ClientResponse
    {
        guard isAway?() != true else { throw .unreachable("it has ended and is started again in a moment") }
        let response: ClientResponse
        do throws(EgressError) { response = try await send(method, path, body: body) } catch {
            guard isAway != nil else { throw error }
            response = try await send(method, path, body: body)
        }
        switch response.status {
        case 200..<300: return response
        case 404: throw .notGuarded(id)
        case 400, 413: throw .invalidPolicy(response.text.trimmingNewline)
        case 502...504: throw .unreachable("\(response.status) \(response.text.trimmingNewline)")
        default: throw .remote("\(response.status) \(response.text.trimmingNewline)")
        }
    }
}

extension String {
    fileprivate var trimmingNewline: String { last == "\n" ? String(dropLast()) : self }
}
