/// What a gateway without rights asks the server of its machine for, over a socket that keeps the bounds of messages. What the
/// server reads is hostile: the gateway is what the world talks to.
enum LinkRequest: Hashable, Sendable {
    /// A connection to a port on the loopback of a sandbox. `number` is the gateway's own, for the answer.
    case dial(number: UInt64, port: UInt16, incarnation: String)
    /// A permitted request went to a sandbox, whose life that may prolong.
    case accessed(sandbox: String)
    /// The gateway routes by this state of the directory, and all that it has ended is being cut.
    case applied(stream: String, sequence: UInt64)

    /// Bytes of a text.
    static let maxText = 256

    init?(_ bytes: [UInt8]) {
        guard let kind = bytes.first else { return nil }
        var rest = bytes.dropFirst()
        switch kind {
        case 1:
            guard let number = rest.takeNumber(8), let port = rest.takeNumber(2), let text = rest.text else {
                return nil
            }
            self = .dial(number: number, port: UInt16(port), incarnation: text)
        case 2:
            guard let text = rest.text else { return nil }
            self = .accessed(sandbox: text)
        case 3:
            guard let sequence = rest.takeNumber(8), let text = rest.text else { return nil }
            self = .applied(stream: text, sequence: sequence)
        default: return nil
        }
    }

    var bytes: [UInt8] {
        switch self {
        case .dial(let number, let port, let incarnation):
            [1] + number.octets(8) + UInt64(port).octets(2) + Array(incarnation.utf8)
        case .accessed(let sandbox): [2] + Array(sandbox.utf8)
        case .applied(let stream, let sequence): [3] + sequence.octets(8) + Array(stream.utf8)
        }
    }
}

/// The server's answer to a dial; the connection comes with it where `code` is 0.
struct LinkReply: Hashable, Sendable {
    /// There is no way in.
    static let unreachable: Int32 = -1

    var number: UInt64
    /// An errno of the dial.
    var code: Int32

    init(number: UInt64, code: Int32) { (self.number, self.code) = (number, code) }

    init?(_ bytes: [UInt8]) {
        var rest = bytes[...]
        guard let number = rest.takeNumber(8), let code = rest.takeNumber(4), rest.isEmpty else { return nil }
        self.init(number: number, code: Int32(truncatingIfNeeded: code))
    }

    var bytes: [UInt8] { number.octets(8) + UInt64(UInt32(bitPattern: code)).octets(4) }
}

extension UInt64 {
    /// The lower bytes, the lowest first.
    fileprivate func octets(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: self >> (8 * $0)) } }
}

extension ArraySlice<UInt8> {
    fileprivate mutating func takeNumber(_ count: Int) -> UInt64? {
        guard self.count >= count else { return nil }
        let number = prefix(count).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        self = dropFirst(count)
        return number
    }

    /// What is left, as a short text that is UTF-8.
    fileprivate var text: String? {
        guard (1...LinkRequest.maxText).contains(count) else { return nil }
        return String(validating: self, as: UTF8.self)
    }
}
