import Addresses
import Glibc
import Netfilter
import NetworkPolicy
import TestSupport

/// IPv4 packets made by hand, for processes with CAP_NET_RAW.
enum RawPacket {
    static func udp(
        from source: String, _ sourcePort: UInt16, to destination: String, _ destinationPort: UInt16,
        _ payload: [UInt8]
    ) -> [UInt8] {
        let length = 28 + payload.count
        var header: [UInt8] = [0x45, 0, UInt8(length >> 8), UInt8(length & 0xff), 0, 1, 0, 0, 64, 17, 0, 0]
        header += IPAddress(source)!.bytes + IPAddress(destination)!.bytes
        let sum = checksum(header)
        header.replaceSubrange(10..<12, with: [UInt8(sum >> 8), UInt8(sum & 0xff)])
        // No checksum of UDP's own: 0 says so (RFC 768).
        return header + [
            UInt8(sourcePort >> 8), UInt8(sourcePort & 0xff), UInt8(destinationPort >> 8),
            UInt8(destinationPort & 0xff),
            UInt8((length - 20) >> 8), UInt8((length - 20) & 0xff), 0, 0,
        ] + payload
    }

    /// Whether the kernel took it.
    static func send(_ packet: [UInt8], to address: String, from namespace: NetworkNamespace) throws -> Bool {
        try namespace.run {
            let descriptor = socket(AF_INET, Int32(SOCK_RAW.rawValue), 255 /* IPPROTO_RAW */)
            precondition(descriptor >= 0)
            defer { close(descriptor) }
            return SocketAddressBytes(address, 0).with {
                sendto(descriptor, packet, packet.count, 0, $0, $1) == packet.count
            }
        }
    }

    /// Sends a frame by a packet socket, to nobody in particular.
    static func frame(_ payload: [UInt8], kind: UInt16, device: String, from namespace: NetworkNamespace) throws {
        try namespace.run {
            let descriptor = socket(17 /* AF_PACKET */, Int32(SOCK_RAW.rawValue), 0)
            precondition(descriptor >= 0)
            defer { close(descriptor) }
            let frame = [UInt8](repeating: 2, count: 12) + [UInt8(kind >> 8), UInt8(kind & 0xff)] + payload
            // sockaddr_ll: family, protocol, index of the device, and the receiver's address.
            var bytes = withUnsafeBytes(of: sa_family_t(17)) { Array($0) } + [UInt8(kind >> 8), UInt8(kind & 0xff)]
            bytes += withUnsafeBytes(of: Int32(if_nametoindex(device))) { Array($0) } + [0, 0, 0, 6]
            bytes += [UInt8](repeating: 2, count: 8)
            _ = bytes.withUnsafeBytes {
                sendto(
                    descriptor, frame, frame.count, 0, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self),
                    socklen_t($0.count))
            }
        }
    }

    private static func checksum(_ header: [UInt8]) -> UInt16 {
        var sum: UInt32 = 0
        for index in stride(from: 0, to: header.count, by: 2) {
            sum += UInt32(header[index]) << 8 | UInt32(header[index + 1])
        }
        while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
        return UInt16(~sum & 0xffff)
    }

    /// The marks of the packets in a packet socket's queue for which `isMeant` holds (SO_RCVMARK).
    static func marks(on descriptor: CInt, where isMeant: (SeenPacket) -> Bool) -> [UInt32] {
        var marks: [UInt32] = []
        var frame = [UInt8](repeating: 0, count: 4096)
        var control = [UInt64](repeating: 0, count: 32)
        while true {
            let count = frame.withUnsafeMutableBytes { frame in
                control.withUnsafeMutableBytes { control in
                    var part = iovec(iov_base: frame.baseAddress, iov_len: frame.count)
                    return withUnsafeMutablePointer(to: &part) { part in
                        var message = msghdr()
                        message.msg_iov = part
                        message.msg_iovlen = 1
                        message.msg_control = control.baseAddress
                        message.msg_controllen = control.count
                        return recvmsg(descriptor, &message, Int32(MSG_DONTWAIT))
                    }
                }
            }
            guard count > 14 else { return marks }
            // A cmsghdr: length (8 bytes), level and type (4 each), then the value.
            let meta = control.withUnsafeBytes {
                (
                    $0.load(fromByteOffset: 8, as: Int32.self), $0.load(fromByteOffset: 12, as: Int32.self),
                    $0.load(fromByteOffset: 16, as: UInt32.self)
                )
            }
            guard isMeant(SeenPacket(frame: Array(frame[..<count]))), meta.0 == SOL_SOCKET, meta.1 == SO_MARK else {
                continue
            }
            marks.append(meta.2)
        }
    }
}
