import HTTPWire
import NIOHTTP1

/// What a request's `Upgrade` and `Connection` fields ask for (RFC 9110, section 7.8).
enum Upgrade: Hashable, Sendable {
    case none
    /// A protocol that is relayed after the sandbox has agreed to it.
    case to(String)
    /// `h2c` is not relayed, because requests inside it would not be checked. The request is served without it.
    case ignored

    /// - Throws: `ProxyError` if there is a body, which would come before the other protocol.
    init(_ head: HTTPRequestHead) throws(ProxyError) {
        let values = head.headers["upgrade"]
        guard !values.isEmpty else {
            self = .none
            return
        }
        let asks = head.headers[canonicalForm: "connection"].contains { $0.lowercased() == "upgrade" }
        let protocols = head.headers[canonicalForm: "upgrade"]
        guard asks, head.version == .http1_1, let first = protocols.first,
            !protocols.contains(where: { $0.lowercased().hasPrefix("h2c") || $0.lowercased().hasPrefix("http/") })
        else {
            self = .ignored
            return
        }
        guard values.count == 1, protocols.count == 1, first.utf8.allSatisfy({ ASCII.isToken($0) || $0 == 0x2F }) else {
            throw .malformed("only one protocol may be requested")
        }
        let hasBody =
            head.headers.contains(name: "transfer-encoding")
            || head.headers.first(name: "content-length").map { Int($0) != 0 } ?? false
        guard !hasBody else { throw .malformed("a request for an upgrade must not have a body") }
        self = .to(String(first))
    }
}
