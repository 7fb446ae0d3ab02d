import Glibc
import Netfilter
import NetworkPolicy

/// What code in a namespace can and cannot do: blocking calls with a time limit, for tests only.
public enum Probe {
    /// The longest wait for something that must happen.
    public static let patience = 5

    public enum Outcome: Equatable, Sendable {
        case echoed
        /// The kernel answered with this error; never ETIMEDOUT or EAGAIN when a refusal is typed.
        case failed(Int32)
    }

    public static func open(_ type: Int32, to address: String, port: UInt16, from namespace: NetworkNamespace) throws
        -> (
            CInt, Int32
        )
    {
        try namespace.run {
            let target = SocketAddressBytes(address, port)
            let descriptor = socket(target.family, type, 0)
            precondition(descriptor >= 0)
            limit(descriptor)
            let status = target.with { connect(descriptor, $0, $1) }
            return (descriptor, status == 0 ? 0 : errno)
        }
    }

    /// Connects and has one message echoed.
    public static func stream(_ address: String, port: UInt16 = EchoServer.port, from namespace: NetworkNamespace)
        throws
        -> Outcome
    {
        try exchange(Int32(SOCK_STREAM.rawValue), address, port, namespace)
    }

    public static func datagram(_ address: String, port: UInt16 = EchoServer.port, from namespace: NetworkNamespace)
        throws
        -> Outcome
    {
        try exchange(Int32(SOCK_DGRAM.rawValue), address, port, namespace)
    }

    /// An ICMP or ICMPv6 echo request from a raw socket, and its reply.
    public static func ping(_ address: String, from namespace: NetworkNamespace) throws -> Outcome {
        try namespace.run {
            let target = SocketAddressBytes(address, 0)
            let isIPv4 = target.family == AF_INET
            let descriptor = socket(target.family, Int32(SOCK_RAW.rawValue), isIPv4 ? 1 : 58)
            precondition(descriptor >= 0)
            defer { close(descriptor) }
            limit(descriptor)
            var message: [UInt8] = [isIPv4 ? 8 : 128, 0, 0, 0, 0x12, 0x34, 0, 1, 1, 2, 3, 4]
            if isIPv4 { setChecksum(&message) }
            guard target.with({ sendto(descriptor, message, message.count, 0, $0, $1) }) == message.count else {
                return .failed(errno)
            }
            var buffer = [UInt8](repeating: 0, count: 2048)
            while true {
                let count = read(descriptor, &buffer, buffer.count)
                guard count > 0 else { return .failed(errno) }
                let reply = buffer[(isIPv4 ? Int(buffer[0] & 15) * 4 : 0)..<count]
                if reply.first == (isIPv4 ? 0 : 129) { return .echoed }
            }
        }
    }

    /// Sends one raw packet of an IP protocol; whether the kernel let it out.
    public static func raw(_ address: String, protocol number: Int32, from namespace: NetworkNamespace) throws -> Bool {
        try namespace.run {
            let target = SocketAddressBytes(address, 0)
            let descriptor = socket(target.family, Int32(SOCK_RAW.rawValue), number)
            precondition(descriptor >= 0)
            defer { close(descriptor) }
            let bytes = [UInt8](repeating: 0, count: 32)
            return target.with { sendto(descriptor, bytes, bytes.count, 0, $0, $1) } == bytes.count
        }
    }

    public static func say(_ text: String, on descriptor: CInt) -> Outcome {
        let bytes = Array(text.utf8)
        guard send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
            return .failed(errno)
        }
        var buffer = [UInt8](repeating: 0, count: 2048)
        let count = read(descriptor, &buffer, buffer.count)
        guard count == bytes.count, Array(buffer[..<count]) == bytes else {
            return .failed(count == 0 ? ECONNRESET : errno)
        }
        return .echoed
    }

    private static func exchange(
        _ type: Int32, _ address: String, _ port: UInt16, _ namespace: NetworkNamespace
    ) throws -> Outcome {
        let (descriptor, error) = try open(type, to: address, port: port, from: namespace)
        defer { close(descriptor) }
        return error == 0 ? say("ping", on: descriptor) : .failed(error)
    }

    public static func limit(_ descriptor: CInt) {
        var time = timeval(tv_sec: patience, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, size)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, size)
    }

    private static func setChecksum(_ message: inout [UInt8]) {
        var sum: UInt32 = 0
        for index in stride(from: 0, to: message.count, by: 2) {
            sum += UInt32(message[index]) << 8 | UInt32(message[index + 1])
        }
        while sum > 0xffff { sum = (sum & 0xffff) + (sum >> 16) }
        message[2] = UInt8(~sum >> 8 & 0xff)
        message[3] = UInt8(~sum & 0xff)
    }
}
