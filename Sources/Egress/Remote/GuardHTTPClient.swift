import CCurl
import Egress

/// Blocking HTTP/1.1 calls to one guard. Never call from the cooperative pool: see `call`.
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

        var authority: String { if case .unix = self { "egress" } else { description } }
    }

    package struct Response: Sendable {
        package var status: Int
        package var body: [UInt8]
        package var text: String { String(decoding: body, as: UTF8.self) }
    }

    let address: Address
    /// What it asks for in `OPENSANDBOX-EGRESS-AUTH`; nil: nothing.
    var token: String?
    /// Whether nobody will answer soon. Given where the socket is kept open while the guard is started again: what is asked then
    /// waits in the socket, and what the guard has died of is asked once more. Every change may be made twice: the second one
    /// finds what it wants.
    var isAway: (@Sendable () -> Bool)?
    /// The longest duration of one call, in milliseconds.
    package var timeoutMilliseconds: Int
    /// The longest answer in bytes; a longer one is an error.
    var maximumBytes = 4 << 20

    package init(
        address: Address, token: String? = nil, isAway: (@Sendable () -> Bool)? = nil, timeoutMilliseconds: Int = 30_000
    ) {
        self.address = address
        self.token = token
        self.isAway = isAway
        self.timeoutMilliseconds = timeoutMilliseconds
    }

    /// libcurl requires this once, before any other call.
    private static let isReady: Bool = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

    private final class Receiver {
        var body: [UInt8] = []
        let limit: Int
        init(limit: Int) { self.limit = limit }
    }

    /// `path` is sent as it is; it must start with a slash and be percent-encoded already.
    package func send(_ method: String, _ path: String, body: [UInt8]? = nil) throws(EgressError) -> Response {
        guard Self.isReady, let handle = curl_easy_init() else { throw .remote("libcurl cannot start") }
        defer { curl_easy_cleanup(handle) }
        var headers = curl_slist_append(curl_slist_append(nil, "Content-Type: application/json"), "Expect:")
        if let token {
            guard token.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else { throw .remote("its token is no word") }
            headers = curl_slist_append(headers, "\(PolicyToken.header): \(token)")
        }
        defer { curl_slist_free_all(headers) }
        let receiver = Receiver(limit: maximumBytes)
        let context = Unmanaged.passUnretained(receiver).toOpaque()

        var codes = [
            curl_set_text(handle, CURLOPT_URL, "http://" + address.authority + path),
            curl_set_text(handle, CURLOPT_CUSTOMREQUEST, method),
            curl_set_text(handle, CURLOPT_PROXY, ""),
            curl_set_number(handle, CURLOPT_PATH_AS_IS, 1),
            curl_set_number(handle, CURLOPT_NOSIGNAL, 1),
            curl_set_number(handle, CURLOPT_TIMEOUT_MS, timeoutMilliseconds),
            curl_set_headers(handle, headers),
            curl_set_body_receiver(handle, Self.receive, context),
        ]
        if case .unix(let path) = address { codes.append(curl_set_text(handle, CURLOPT_UNIX_SOCKET_PATH, path)) }
        if let body {
            codes.append(body.withUnsafeBytes { curl_set_body(handle, $0.baseAddress ?? Self.nothing, body.count) })
        }
        guard codes.allSatisfy({ $0 == CURLE_OK }) else { throw .remote("libcurl does not know an option") }

        let code = withExtendedLifetime(receiver) { curl_easy_perform(handle) }
        guard code == CURLE_OK else {
            throw .remote("\(String(cString: curl_easy_strerror(code))) (\(address))")
        }
        return Response(status: curl_response_status(handle), body: receiver.body)
    }

    /// Calls on threads that are for waiting, since libcurl blocks.
    /// - Parameter id: of the sandbox that the call is about.
    /// - Throws: what the guard answers, as it would throw it here.
    func call(_ method: String, _ path: String, body: [UInt8]? = nil, of id: String) async throws(EgressError)
        -> Response
    {
        guard isAway?() != true else { throw .remote("the guard is down and is started again in a moment") }
        let response = try await Blocking.run { () throws(EgressError) in
            do throws(EgressError) { return try send(method, path, body: body) } catch {
                guard isAway != nil else { throw error }
                return try send(method, path, body: body)
            }
        }
        switch response.status {
        case 200..<300: return response
        case 404: throw .notGuarded(id)
        case 400, 413: throw .invalidPolicy(response.text.trimmingNewline)
        default: throw .remote("\(response.status) \(response.text.trimmingNewline)")
        }
    }

    nonisolated(unsafe) private static let nothing = UnsafeRawPointer(
        UnsafeMutableRawPointer.allocate(byteCount: 1, alignment: 1))

    private static let receive: curl_body_receiver = { bytes, size, count, context in
        let receiver = Unmanaged<Receiver>.fromOpaque(context!).takeUnretainedValue()
        let length = size * count
        guard receiver.body.count + length <= receiver.limit, let bytes else { return 0 }
        receiver.body += UnsafeRawBufferPointer(start: bytes, count: length)
        return length
    }
}

extension String {
    fileprivate var trimmingNewline: String { last == "\n" ? String(dropLast()) : self }
}
