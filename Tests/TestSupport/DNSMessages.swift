import Addresses
import Glibc
import Netfilter
import NetworkPolicy
import Synchronization

/// Just enough of RFC 1035 for a test: one question, answers that are addresses.
public enum DNSMessages {
    public static let a: UInt16 = 1
    public static let aaaa: UInt16 = 28

    public static func query(_ name: String, type: UInt16) -> [UInt8] {
        [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0] + wire(name) + [0, UInt8(type), 0, 1]
    }

    public static func wire(_ name: String) -> [UInt8] {
        name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }

    /// The question's name in lower case, its type, and where the question ends.
    public static func question(_ message: [UInt8]) -> (name: String, type: UInt16, end: Int)? {
        var labels: [String] = []
        var index = 12
        while index < message.count, message[index] != 0 {
            let end = index + 1 + Int(message[index])
            guard end < message.count else { return nil }
            labels.append(String(decoding: message[(index + 1)..<end], as: UTF8.self).lowercased())
            index = end
        }
        guard index + 5 <= message.count else { return nil }
        return (labels.joined(separator: "."), UInt16(message[index + 1]) << 8 | UInt16(message[index + 2]), index + 5)
    }

    public static func answer(to query: [UInt8], _ addresses: [IPAddress], timeToLive: UInt32) -> [UInt8]? {
        guard let question = question(query) else { return nil }
        var message = Array(query[0..<2]) + [0x81, 0x80, 0, 1, 0, UInt8(addresses.count), 0, 0, 0, 0]
        message += query[12..<question.end]
        for address in addresses {
            let octets = Array(address.bytes)
            message += [0xc0, 12, 0, UInt8(question.type), 0, 1]
            message += (0..<4).map { UInt8(timeToLive >> (24 - 8 * $0) & 0xff) } + [0, UInt8(octets.count)] + octets
        }
        return message
    }

    /// The response code and the addresses of a response whose records are uncompressed or point to the question.
    public static func addresses(_ message: [UInt8]) -> (code: UInt8, addresses: [IPAddress]) {
        guard message.count >= 12, let question = question(message) else { return (255, []) }
        var found: [IPAddress] = []
        var index = question.end
        for _ in 0..<message[7] {
            while index < message.count, message[index] != 0, message[index] & 0xc0 == 0 {
                index += 1 + Int(message[index])
            }
            index += index < message.count && message[index] & 0xc0 != 0 ? 2 : 1
            guard index + 10 <= message.count else { break }
            let end = index + 10 + Int(message[index + 8]) << 8 + Int(message[index + 9])
            guard end <= message.count else { break }
            if let address = IPAddress(bytes: Array(message[(index + 10)..<end])) { found.append(address) }
            index = end
        }
        return (message[3] & 15, found)
    }

    /// Asks from within a namespace whichever server has this address: the guard must be the one that answers.
    public static func resolve(
        _ name: String, type: UInt16 = a, server: String = "198.51.100.53", from namespace: NetworkNamespace
    ) throws -> (code: UInt8, addresses: [IPAddress]) {
        let (descriptor, error) = try Probe.open(Int32(SOCK_DGRAM.rawValue), to: server, port: 53, from: namespace)
        defer { close(descriptor) }
        guard error == 0 else { return (255, []) }
        let query = query(name, type: type)
        guard send(descriptor, query, query.count, 0) == query.count else { return (255, []) }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = read(descriptor, &buffer, buffer.count)
        return count > 0 ? addresses(Array(buffer[..<count])) : (255, [])
    }
}

/// A name server with a table of names; counts what it is asked. On the loopback of the test's own process, or where the
/// thread is that makes it.
public final class UpstreamServer: Sendable {
    public let port: UInt16
    private let descriptor: CInt
    private let asked = Mutex<[String]>([])

    public var questions: [String] { asked.withLock { $0 } }

    public init(_ table: [String: [String]], timeToLive: UInt32 = 300, address: String = "127.0.0.1", port: UInt16 = 0)
    {
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        self.descriptor = descriptor
        precondition(SocketAddressBytes(address, port).with { bind(descriptor, $0, $1) } == 0)
        var bound = [UInt8](repeating: 0, count: 16)
        var length = socklen_t(16)
        _ = bound.withUnsafeMutableBytes {
            getsockname(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
        }
        self.port = UInt16(bound[2]) << 8 | UInt16(bound[3])
        BackgroundThread.start { [weak self] in
            while let query = Datagram(from: descriptor) {
                guard let question = DNSMessages.question(query.bytes) else { continue }
                self?.asked.withLock { $0.append(question.name) }
                let addresses = (table[question.name] ?? []).compactMap { IPAddress($0) }
                    .filter { $0.bytes.count == (question.type == DNSMessages.a ? 4 : 16) }
                if let answer = DNSMessages.answer(to: query.bytes, addresses, timeToLive: timeToLive) {
                    query.answer(answer, on: descriptor)
                }
            }
            close(descriptor)
        }
    }

    deinit { shutdown(descriptor, Int32(SHUT_RDWR)) }
}
