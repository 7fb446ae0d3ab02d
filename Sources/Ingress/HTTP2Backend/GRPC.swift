import NIOHTTP1
import System

/// gRPC over HTTP/2: which requests are of it, and how it is told of errors.
enum GRPC {
    static let contentType = "application/grpc"

    /// `application/grpc`, with a suffix (`+proto`) or parameters; gRPC-Web is ordinary HTTP.
    static func isAsked(for headers: HTTPHeaders) -> Bool {
        guard let type = headers.first(name: "content-type") else { return false }
        let name = type.prefix { $0 != ";" }.trimmingSpaces().lowercased()
        return name == contentType || name.hasPrefix(contentType + "+")
    }

    /// An error as the answer to a call: a status of its own in what are head and trailers at once, with 200, since a client
    /// takes any other status of HTTP for an error of the way.
    static func answer(_ error: ProxyError) -> OutgoingResponse {
        var head = OutgoingResponse(version: .http1_1, code: 200)
        head.add("content-type", contentType)
        head.add("grpc-status", String(status(of: Int(error.status.code))))
        head.add("grpc-message", message(error.code + ": " + error.message))
        if let retryAfter = error.retryAfter { head.add("retry-after", String(retryAfter)) }
        return head
    }

    /// The status of gRPC for one of HTTP ("HTTP to gRPC Status Code Mapping").
    static func status(of code: Int) -> Int {
        switch code {
        case 400: 13
        case 401: 16
        case 403: 7
        case 404: 12
        case 429, 502, 503, 504: 14
        default: 2
        }
    }

    /// Percent-encoded but for what is printable ASCII and no percent sign.
    private static func message(_ text: String) -> String {
        PercentEncoding.encode(text) { $0 >= 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "%") }
    }
}
