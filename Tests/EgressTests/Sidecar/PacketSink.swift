import Glibc
import Netfilter
import Synchronization
import TestSupport

/// A frame as it came in by a device.
struct SeenPacket: Hashable, Sendable {
    var frame: [UInt8]

    var ethernetType: UInt16 { UInt16(frame[12]) << 8 | UInt16(frame[13]) }
    var isIPv4: Bool { ethernetType == 0x0800 }
    var isARP: Bool { ethernetType == 0x0806 }
    var transport: UInt8 { isIPv4 ? frame[23] : ethernetType == 0x86dd ? frame[20] : 0 }
    private var transportStart: Int { isIPv4 ? 14 + Int(frame[14] & 15) * 4 : 54 }
    var payload: ArraySlice<UInt8> { frame[min(frame.count, transportStart + 8)...] }
    var sourcePort: UInt16 { port(transportStart) }
    var destinationPort: UInt16 { port(transportStart + 2) }

    /// Not an answer from the sandbox's side, neighbour discovery, group membership or ARP.
    var isFromSandboxAnew: Bool {
        switch transport {
        case 6: frame.count > transportStart + 13 && frame[transportStart + 13] & 0x17 == 0x02
        case 17, 132, 1: true
        case 58: frame.count > transportStart && frame[transportStart] == 128
        default: false
        }
    }

    private func port(_ at: Int) -> UInt16 {
        frame.count > at + 1 ? UInt16(frame[at]) << 8 | UInt16(frame[at + 1]) : 0
    }
}

/// Everything that a device receives.
final class PacketSink: Sendable {
    private let descriptor: CInt

    init(in namespace: NetworkNamespace, device: String, protocol number: UInt16 = 3) throws {
        descriptor = try namespace.run { try PacketSocket.open(device: device, protocol: number) }
        var size: Int32 = 8 << 20
        setsockopt(descriptor, SOL_SOCKET, 33 /* SO_RCVBUFFORCE */, &size, socklen_t(MemoryLayout<Int32>.size))
    }

    deinit { close(descriptor) }

    /// What came since the last call; nothing that the namespace itself sent.
    func packets() throws -> [SeenPacket] {
        var found: [SeenPacket] = []
        while let packet = Datagram(from: descriptor, flags: Int32(MSG_DONTWAIT)) {
            let isOutgoing = packet.peer[10] == 4
            if !isOutgoing && packet.bytes.count >= 14 { found.append(SeenPacket(frame: packet.bytes)) }
        }
        return found
    }
}

enum PacketSocket {
    /// Bound to a device. Call on a thread in its namespace.
    static func open(device: String, protocol number: UInt16 = 3) throws -> CInt {
        let descriptor = socket(17 /* AF_PACKET */, Int32(SOCK_RAW.rawValue), Int32(number.bigEndian))
        let address = address(device, number)
        let status = address.withUnsafeBytes {
            bind(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(address.count))
        }
        guard descriptor >= 0, status == 0 else { throw RunningSidecar.Failure(what: "a packet socket on \(device)") }
        return descriptor
    }

    /// The bytes of a sockaddr_ll.
    private static func address(_ device: String, _ number: UInt16) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 20)
        withUnsafeBytes(of: UInt16(17)) { bytes.replaceSubrange(0..<2, with: $0) }
        withUnsafeBytes(of: number.bigEndian) { bytes.replaceSubrange(2..<4, with: $0) }
        withUnsafeBytes(of: if_nametoindex(device)) { bytes.replaceSubrange(4..<8, with: $0) }
        return bytes
    }
}

/// A sandbox that tries everything: datagrams, connections, pings and queries, to addresses that exist.
final class Noise: Sendable {
    private let sockets: [(descriptor: CInt, target: [UInt8])]
    private let namespace: NetworkNamespace
    private let state = Mutex((isRunning: false, rounds: 0))
    private let ended = Mutex<Bool>(true)

    init(in namespace: NetworkNamespace) throws {
        self.namespace = namespace
        sockets = try namespace.run {
            ["198.51.100.1", "198.51.100.2", "2001:db8::1"].flatMap { text in
                let family = SocketAddressBytes(text, 7).family
                let echo = family == AF_INET ? 1 : 58
                let datagram = socket(family, Int32(SOCK_DGRAM.rawValue), 0)
                let raw = socket(family, Int32(SOCK_RAW.rawValue), Int32(echo))
                return [
                    (datagram, SocketAddressBytes(text, 7).bytes), (datagram, SocketAddressBytes(text, 53).bytes),
                    (raw, SocketAddressBytes(text, 0).bytes),
                ]
            }
        }
    }

    deinit { for socket in Set(sockets.map(\.descriptor)) { close(socket) } }

    var rounds: Int { state.withLock { $0.rounds } }

    /// Everything once.
    func round() {
        let query = DNSMessages.query("noise.example", type: DNSMessages.a)
        for (descriptor, target) in sockets {
            _ = target.withUnsafeBytes {
                sendto(
                    descriptor, query, query.count, Int32(MSG_DONTWAIT),
                    $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(target.count))
            }
        }
        try? namespace.run {
            for text in ["198.51.100.1", "2001:db8::1"] {
                let address = SocketAddressBytes(text, 7)
                let descriptor = socket(address.family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
                _ = address.with { connect(descriptor, $0, $1) }
                close(descriptor)
            }
        }
        state.withLock { $0.rounds += 1 }
    }

    /// Again and again, until `end`.
    func begin() {
        state.withLock { $0.isRunning = true }
        ended.withLock { $0 = false }
        BackgroundThread.start { [self] in
            while state.withLock({ $0.isRunning }) { round() }
            ended.withLock { $0 = true }
        }
    }

    func end() {
        state.withLock { $0.isRunning = false }
        while !ended.withLock({ $0 }) { sched_yield() }
    }
}
