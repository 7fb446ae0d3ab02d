import HTTPWire
import NIOHPACK
import NIOHTTP1

/// Converts a response's head, or its trailers, to HTTP/2 fields (RFC 9113, section 8.3.2).
enum ResponseBlock {
    private static let ofTheConnection = FieldNames(FieldNames.hopByHop)

    /// - Parameter opensWebSocket: whether it answers CONNECT, which gets 200 instead of HTTP/1.1's 101.
    static func fields(_ head: HTTPResponseHead, opensWebSocket: Bool) -> HPACKHeaders {
        var block = HPACKHeaders()
        block.reserveCapacity(head.headers.count + 1)
        block.add(name: ":status", value: opensWebSocket ? "200" : String(head.status.code), indexing: .indexable)
        for (name, value) in head.headers where !ofTheConnection.contains(name) {
            if opensWebSocket, name.isEqualIgnoringCase(to: "sec-websocket-accept") { continue }
            add(name, value, to: &block)
        }
        return block
    }

    static func trailers(_ trailers: HTTPHeaders) -> HPACKHeaders {
        var block = HPACKHeaders()
        for (name, value) in trailers where !ofTheConnection.contains(name) { add(name, value, to: &block) }
        return block
    }

    /// Secrets are kept out of the shared compression table (RFC 7541, section 7.1.3).
    private static func add(_ name: String, _ value: String, to block: inout HPACKHeaders) {
        let name = name.utf8.contains { $0 >= 0x41 && $0 <= 0x5A } ? name.lowercased() : name
        block.add(
            name: name, value: FieldText.shown(value), indexing: name == "set-cookie" ? .neverIndexed : .indexable)
    }
}
