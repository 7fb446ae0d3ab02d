import NIOCore
import NIOHTTP1
import System

/// One request as it came, its body still to be read.
package struct HTTPRequest: Sendable {
    package let method: HTTPMethod
    package let version: HTTPVersion
    /// The request target, byte for byte.
    package let target: String
    package let headers: HTTPHeaders
    package let body: HTTPBody
    /// The peer; nil on a unix socket.
    package let remoteAddress: SocketAddress?
    /// What the route's pattern found in the path.
    package internal(set) var parameters = PathParameters.none
    /// Bytes of the body that its route takes.
    package internal(set) var maxBody = Int.max

    package init(
        method: HTTPMethod, target: String, version: HTTPVersion = .http1_1, headers: HTTPHeaders = [:],
        body: HTTPBody = .empty, remoteAddress: SocketAddress? = nil
    ) {
        self.method = method
        self.version = version
        self.target = target
        self.headers = headers
        self.body = body
        self.remoteAddress = remoteAddress
    }

    /// The target before its `?`, still percent-encoded.
    package var path: String {
        String(target.prefix { $0 != "?" })
    }

    /// Whether a page that a browser shows has sent it: programs name no origin, and neither does who types an address. Any page
    /// can send requests to any server; one that asks its callers for nothing has to refuse these.
    package var isOfAPage: Bool {
        headers.contains(name: "origin") || headers.first(name: "sec-fetch-site").map { $0 != "none" } ?? false
    }

    /// The whole body.
    /// - Throws: `HTTPBodyError.tooLarge` past what the route takes, `clientGone` when the connection breaks.
    package func wholeBody() async throws -> [UInt8] {
        Array(try await body.collect(upTo: maxBody).readableBytesView)
    }

    /// The query's pairs in order, decoded (`+` is a space).
    package var query: [(name: String, value: String)] {
        guard let mark = target.firstIndex(of: "?") else { return [] }
        return target[target.index(after: mark)...].split(separator: "&").map { pair in
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (PercentEncoding.decodeForm(parts[0]), parts.count > 1 ? PercentEncoding.decodeForm(parts[1]) : "")
        }
    }

    /// The first value of a query parameter.
    package func query(_ name: String) -> String? {
        query.first { $0.name == name }?.value
    }
}
