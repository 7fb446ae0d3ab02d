import Egress
import HTTPClient
import HTTPServer
import JSON
import NIOCore
import NIOHTTP1
import Tracing

/// Calls to one guard: its administrative socket, or its policy API.
package struct GuardHTTPClient: Sendable {
    package enum Address: Hashable, Sendable, CustomStringConvertible {
        case unix(path: String)
        /// Of a guard beside a sandbox: a literal address, which another sandbox has after it.
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
            case .tcp:
                HTTPEndpoint("http://\(self)").map { endpoint in
                    var peer = HTTPPeer(endpoint)
                    peer.keepsConnections = false
                    return peer
                }
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
        guard let peer else { throw .remote("\(address) is not an address") }
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
        request.headers += CurrentRequest.fields
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
        guard (200..<300).contains(response.status) else {
            throw Self.error(response.status, response.text.trimmingNewline, of: id)
        }
        return response
    }

    private static func error(_ status: Int, _ text: String, of id: String) -> EgressError {
        switch status {
        case 404: .notGuarded(id)
        case 400, 413: .invalidPolicy(text)
        case 502...504: .unreachable("\(status) \(text)")
        default: .remote("\(status) \(text)")
        }
    }
}

extension GuardHTTPClient {
    /// Longer than a guard's stream is ever silent.
    private static let silence: UInt64 = 60_000

    /// JSON that is handed on as it is.
    /// - Throws: `EgressError.remote` where it is none, as a sidecar's answer may be.
    func answer(_ path: String, of id: String) async throws(EgressError) -> [UInt8] {
        let body = try await call("GET", path, of: id).body
        guard (try? JSONValue(body)) != nil else { throw .remote("its answer is not JSON") }
        return body
    }

    /// A stream of events that is handed on as it is.
    func events(
        _ path: String, after lastSeen: String?, of id: String, while mayGoOn: @escaping @Sendable () -> Bool
    ) async throws(EgressError) -> Reply {
        guard isAway?() != true else { throw .unreachable("it has ended and is started again in a moment") }
        guard var peer else { throw .remote("\(address) is not an address") }
        peer.deadlines = ClientDeadlines(total: nil, idle: Self.silence)
        var request = ClientRequest("GET", path, headers: CurrentRequest.fields)
        // What is no number and hyphen is no id of ours: it says the same as one that is unknown.
        if let lastSeen {
            request.headers.append(("Last-Event-ID", EventStream.isIdentifier(lastSeen) ? lastSeen : "0-0"))
        }
        let stream: ResponseStream
        do throws(HTTPClientError) { stream = try await HTTPClient.shared.stream(request, to: peer) } catch {
            throw .unreachable("\(error) (\(address))")
        }
        guard stream.status == 200 else { throw Self.error(stream.status, "", of: id) }
        return .stream(.ok, headers: EventStream.headers) { writer in
            // The guard has only so many places for readers.
            writer.whenClientGone { stream.body.cancel() }
            while let part = try await stream.body.next() {
                guard mayGoOn() else { return }
                try await writer.write(ByteBuffer(bytes: part))
            }
        }
    }
}

extension String {
    fileprivate var trimmingNewline: String { last == "\n" ? String(dropLast()) : self }
}
