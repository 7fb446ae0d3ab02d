import CCurl
import Egress

/// Blocking HTTP/1.1 calls over one unix socket. Never call from the cooperative pool: see `RemoteEgressNode`.
package struct UnixHTTPClient: Sendable {
    package struct Response: Sendable {
        package var status: Int
        package var body: [UInt8]
        package var text: String { String(decoding: body, as: UTF8.self) }
    }

    let socketPath: String
    /// The longest duration of one call, in milliseconds.
    package var timeoutMilliseconds = 30_000
    /// The longest answer in bytes; a longer one is an error.
    var maximumBytes = 4 << 20

    package init(socketPath: String) { self.socketPath = socketPath }

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
        let headers = curl_slist_append(curl_slist_append(nil, "Content-Type: application/json"), "Expect:")
        defer { curl_slist_free_all(headers) }
        let receiver = Receiver(limit: maximumBytes)
        let context = Unmanaged.passUnretained(receiver).toOpaque()

        var codes = [
            curl_set_text(handle, CURLOPT_UNIX_SOCKET_PATH, socketPath),
            curl_set_text(handle, CURLOPT_URL, "http://egress" + path),
            curl_set_text(handle, CURLOPT_CUSTOMREQUEST, method),
            curl_set_text(handle, CURLOPT_PROXY, ""),
            curl_set_number(handle, CURLOPT_PATH_AS_IS, 1),
            curl_set_number(handle, CURLOPT_NOSIGNAL, 1),
            curl_set_number(handle, CURLOPT_TIMEOUT_MS, timeoutMilliseconds),
            curl_set_headers(handle, headers),
            curl_set_body_receiver(handle, Self.receive, context),
        ]
        if let body {
            codes.append(body.withUnsafeBytes { curl_set_body(handle, $0.baseAddress ?? Self.nothing, body.count) })
        }
        guard codes.allSatisfy({ $0 == CURLE_OK }) else { throw .remote("libcurl does not know an option") }

        let code = withExtendedLifetime(receiver) { curl_easy_perform(handle) }
        guard code == CURLE_OK else {
            throw .remote("\(String(cString: curl_easy_strerror(code))) (\(socketPath))")
        }
        return Response(status: curl_response_status(handle), body: receiver.body)
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
