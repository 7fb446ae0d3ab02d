import NetworkPolicy

/// Why bytes are not a valid DNS message.
enum DNSMessageError: Error, Hashable {
    case truncated
    case badPointer
    case badName
    case badCount
}

/// Reads a DNS message (RFC 1035, section 4). Compression pointers may only point backwards from where the name began,
/// further back at each hop, so that no message makes it loop.
struct MessageReader {
    private let bytes: UnsafeRawBufferPointer
    private(set) var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    mutating func byte() throws(DNSMessageError) -> UInt8 {
        guard position < bytes.count else { throw .truncated }
        defer { position += 1 }
        return bytes[position]
    }

    mutating func number16() throws(DNSMessageError) -> UInt16 {
        UInt16(try byte()) << 8 | UInt16(try byte())
    }

    mutating func number32() throws(DNSMessageError) -> UInt32 {
        UInt32(try number16()) << 16 | UInt32(try number16())
    }

    mutating func take(_ count: Int) throws(DNSMessageError) -> [UInt8] {
        guard count <= bytes.count - position else { throw .truncated }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }

    mutating func skip(_ count: Int) throws(DNSMessageError) {
        guard count <= bytes.count - position else { throw .truncated }
        position += count
    }

    /// A name, decompressed and with its letter case: labels and the final zero byte.
    mutating func nameBytes() throws(DNSMessageError) -> [UInt8] {
        var name: [UInt8] = []
        name.reserveCapacity(32)
        try readName(into: &name)
        return name
    }

    /// The same, into an empty array.
    mutating func readName(into name: inout [UInt8]) throws(DNSMessageError) {
        var cursor = position
        var earliest = position
        var end: Int?
        while true {
            guard cursor < bytes.count else { throw .truncated }
            let length = Int(bytes[cursor])
            switch length {
            case 0:
                name.append(0)
                guard name.count <= 255 else { throw .badName }
                position = end ?? cursor + 1
                return
            case 1...63:
                guard cursor + 1 + length <= bytes.count else { throw .truncated }
                name.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[cursor...cursor + length]))
                guard name.count < 255 else { throw .badName }
                cursor += 1 + length
            case 0xc0...:
                guard cursor + 1 < bytes.count else { throw .truncated }
                let target = (length & 0x3f) << 8 | Int(bytes[cursor + 1])
                guard target < earliest else { throw .badPointer }
                if end == nil { end = cursor + 2 }
                earliest = target
                cursor = target
            default: throw .badName
            }
        }
    }
}
