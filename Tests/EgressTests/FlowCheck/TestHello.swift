/// A ClientHello as a test wants it, right or wrong.
struct TestHello {
    var version: [UInt8] = [3, 3]
    var sessionLength = 32
    var suites: [UInt8] = [0x0a, 0x0a, 0x13, 0x01, 0xc0, 0x2f]
    var compressions: [UInt8] = [0]
    /// (type, content), in order.
    var extensions: [(type: UInt16, content: [UInt8])]

    init(_ name: String?) { self.init(names: name.map { [Array($0.utf8)] } ?? []) }

    /// As a browser sends it: GREASE (RFC 8701) around the rest. No name: no extension.
    init(names: [[UInt8]], type: UInt8 = 0) {
        extensions = [(0x1a1a, []), (0xff01, [0]), (10, [0, 2, 0, 0x1d]), (16, [0, 3, 2, 0x68, 0x32]), (0x2a2a, [0])]
        guard !names.isEmpty else { return }
        let list = names.flatMap { [type] + Self.number($0.count) + $0 }
        extensions.insert((0, Self.number(list.count) + list), at: 1)
    }

    static func number(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 0xff), UInt8(value & 0xff)] }

    /// The handshake message.
    var message: [UInt8] {
        let random = (0..<32).map { UInt8($0) }
        var body = version + random + [UInt8(sessionLength)] + [UInt8](repeating: 7, count: sessionLength)
        body += Self.number(suites.count) + suites + [UInt8(compressions.count)] + compressions
        let encoded = extensions.flatMap { Self.number(Int($0.type)) + Self.number($0.content.count) + $0.content }
        body += Self.number(encoded.count) + encoded
        return [1, 0] + Self.number(body.count) + body
    }

    static func record(_ content: some Collection<UInt8>, type: UInt8 = 22) -> [UInt8] {
        [type, 3, 1] + number(content.count) + content
    }

    /// In one record.
    var bytes: [UInt8] { Self.record(message) }

    /// In records of at most so many bytes.
    func bytes(fragments size: Int) -> [UInt8] {
        stride(from: 0, to: message.count, by: size).flatMap {
            Self.record(message[$0..<min($0 + size, message.count)])
        }
    }
}
