import HTTPWire
import NIOHTTP1
import NetworkPolicy

/// `host[:port]`, without user information (RFC 9110, section 4.2.4).
struct HTTPAuthority: Hashable, Sendable {
    var name: DomainName
    var port: UInt16?

    init(_ bytes: UnsafeRawBufferPointer) throws(FlowRefusal) {
        let colon = bytes.firstIndex(of: UInt8(ascii: ":"))
        name = try StatedName.parse(bytes[..<(colon ?? bytes.count)])
        guard let colon else { return }
        let digits = bytes[(colon + 1)...]
        guard (1...5).contains(digits.count), digits.allSatisfy(ASCII.isDigit),
            let number = UInt16(String(decoding: digits, as: UTF8.self)), number > 0
        else { throw .notAName("its port is not a number from 1 to 65535") }
        port = number
    }

    /// That of an absolute target.
    /// - Returns: nil for a path.
    init?(target: UnsafeRawBufferPointer, of method: HTTPMethod) throws(FlowRefusal) {
        guard target.allSatisfy({ (0x21...0x7e).contains($0) && $0 != UInt8(ascii: "#") }) else {
            throw .malformed("the HTTP request's target has bytes that no address has")
        }
        if target.first == UInt8(ascii: "/") || (method == .OPTIONS && target.elementsEqual("*".utf8)) { return nil }
        let scheme = 7
        guard ASCII.isEqual(UnsafeRawBufferPointer(rebasing: target.prefix(scheme)), "http://") else {
            throw .malformed("the HTTP request's target is neither a path nor a http:// address")
        }
        let rest = target.dropFirst(scheme).prefix { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") }
        try self.init(UnsafeRawBufferPointer(rebasing: rest))
    }
}
