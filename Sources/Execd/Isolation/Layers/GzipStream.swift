/// Bytes as a gzip stream (RFC 1952) that is not compressed (RFC 1951, stored blocks): readers of `.gz` take it, and it costs
/// no more than its sum.
struct GzipStream: Sendable {
    private var sum: UInt32 = .max
    private var size: UInt32 = 0

    static let head: [UInt8] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]
    private static let maxBlock = 0xffff

    mutating func append(_ bytes: [UInt8]) -> [UInt8] {
        for byte in bytes { sum = Self.table[Int(UInt8(truncatingIfNeeded: sum) ^ byte)] ^ (sum >> 8) }
        size &+= UInt32(truncatingIfNeeded: bytes.count)
        var text: [UInt8] = []
        text.reserveCapacity(bytes.count + bytes.count / 1000 + 16)
        var rest = bytes[...]
        while !rest.isEmpty {
            let block = rest.prefix(Self.maxBlock)
            text += Self.blockHead(block.count, isLast: false) + block
            rest = rest.dropFirst(block.count)
        }
        return text
    }

    mutating func finish() -> [UInt8] {
        Self.blockHead(0, isLast: true) + Self.littleEndian(~sum) + Self.littleEndian(size)
    }

    private static func blockHead(_ count: Int, isLast: Bool) -> [UInt8] {
        let (low, high) = (UInt8(count & 0xff), UInt8(count >> 8))
        return [isLast ? 1 : 0, low, high, ~low, ~high]
    }

    private static func littleEndian(_ number: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
    }

    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { sum, _ in sum & 1 == 1 ? 0xedb8_8320 ^ (sum >> 1) : sum >> 1 }
    }
}
