import Addresses
import Egress
import NetworkPolicy

/// A DNS query for the addresses of one name, and parsing of its answer (RFC 1035, section 4.1). For the sidecar's own
/// requests; the sandbox's queries go through the filter.
struct StubQuestion: Hashable, Sendable {
    var name: DomainName
    /// 1 for A, 28 for AAAA.
    var type: UInt16
    var identifier: UInt16

    var bytes: [UInt8] {
        var bytes: [UInt8] = [UInt8(identifier >> 8), UInt8(identifier & 0xff), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]
        bytes += name.wire
        return bytes + [UInt8(type >> 8), UInt8(type & 0xff), 0, 1]
    }

    /// The addresses in the answer section; nil if the message does not answer this query.
    func addresses(in message: [UInt8]) -> [IPAddress]? {
        let question = bytes.dropFirst(12)
        guard message.count >= 12 + question.count, message[0] == bytes[0], message[1] == bytes[1],
            message[2] & 0xf8 == 0x80, message[5] == 1, message[4] == 0
        else { return nil }
        // The question is in lower case, so upstreams return it unchanged.
        guard message[12..<12 + question.count].elementsEqual(question) else { return nil }
        var found: [IPAddress] = []
        var position = 12 + question.count
        for _ in 0..<(Int(message[6]) << 8 | Int(message[7])) {
            guard let end = Self.skipName(message, position), end + 10 <= message.count else { break }
            let length = Int(message[end + 8]) << 8 | Int(message[end + 9])
            let data = end + 10
            guard data + length <= message.count else { break }
            let isMine = message[end] == UInt8(type >> 8) && message[end + 1] == UInt8(type & 0xff)
            if isMine, let address = IPAddress(bytes: Array(message[data..<data + length])) { found.append(address) }
            position = data + length
        }
        return found
    }

    private static func skipName(_ message: [UInt8], _ start: Int) -> Int? {
        var position = start
        while position < message.count {
            let length = Int(message[position])
            if length == 0 { return position + 1 }
            if length & 0xc0 == 0xc0 { return position + 2 }
            guard length < 64 else { return nil }
            position += 1 + length
        }
        return nil
    }
}

/// The names of /etc/hosts (hosts(5)).
struct HostsFile: Hashable, Sendable {
    private var addresses: [String: [IPAddress]] = [:]

    init(_ text: String) {
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace)
            guard let first = words.first, let address = IPAddress(String(first)) else { continue }
            for name in words.dropFirst() { addresses[name.lowercased(), default: []].append(address) }
        }
    }

    subscript(name: String) -> [IPAddress] { addresses[name.lowercased()] ?? [] }
}
