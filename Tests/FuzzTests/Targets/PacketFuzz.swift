@testable import Netfilter

/// What the kernel says of refused packets, whose bytes a sandbox chose.
enum PacketFuzz {
    static func packet(_ bytes: UnsafeRawBufferPointer) {
        let whole = Array(bytes)
        for packet in LoggedPacket.parse(whole) {
            promise(packet.bytes.count <= whole.count, "a packet is longer than its message")
            header(packet.bytes)
        }
        header(whole)
    }

    /// What is read of a part is read of the whole, too: nothing behind the end is looked at.
    private static func header(_ bytes: [UInt8]) {
        let whole = PacketHeader(bytes)
        for length in Set([bytes.count / 2, bytes.count - 1, 60, 40, 20]) where (0..<bytes.count).contains(length) {
            guard let part = PacketHeader(Array(bytes[..<length])) else { continue }
            guard let whole else { fatalError("a part is a packet, the whole is none") }
            promise(part.source == whole.source && part.destination == whole.destination, "other addresses")
            promise(part.ports == nil || part.ports == whole.ports, "other ports")
            promise(part.icmpType == nil || part.icmpType == whole.icmpType, "another type")
        }
    }
}
