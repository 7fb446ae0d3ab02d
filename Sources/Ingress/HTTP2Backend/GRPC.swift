import HTTPWire
import NIOHTTP1
import System

/// gRPC over HTTP/2: recognising its requests, and answering with errors.
enum GRPC {
    static let contentType = "application/grpc"

    /// `application/grpc`, with a suffix (`+proto`) or parameters; gRPC-Web is ordinary HTTP.
    static func isAsked(for headers: HTTPHeaders) -> Bool {
        guard let type = headers.first(name: "content-type") else { return false }
        let name = type.prefix { $0 != ";" }.trimmingSpaces().lowercased()
        return name == contentType || name.hasPrefix(contentType + "+")
    }

    /// An error as the answer to a call: a trailers-only response with HTTP status 200 and a gRPC status, since clients
    /// take any other HTTP status for a transport error.
    static func answer(_ error: ProxyError) -> OutgoingResponse {
        var head = OutgoingResponse(version: .http1_1, code: 200)
        head.add("content-type", contentType)
        head.add("grpc-status", String(status(of: Int(error.status.code))))
        head.add("grpc-message", message(error.code + ": " + error.message))
        if let retryAfter = error.retryAfter { head.add("retry-after", String(retryAfter)) }
        return head
    }

    /// The gRPC status for an HTTP status ("HTTP to gRPC Status Code Mapping").
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

    /// Percent-encodes everything but printable ASCII other than the percent sign.
    private static func message(_ text: String) -> String {
        PercentEncoding.encode(text) { $0 >= 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "%") }
    }
}
