import NetworkPolicy
import Testing

@testable import Egress
@testable import FlowCheck

@Suite struct ClientHelloTests {
    private let hello = TestHello("api.one.example")

    private func parse(_ bytes: [UInt8]) throws -> String? { try ClientHello.parse(bytes[...])?.name.description }

    private func isRefused(_ hello: TestHello) -> Bool {
        if case .success = Result(catching: { try parse(hello.bytes) }) { return false }
        return true
    }

    @Test func `the name is read, in lower case`() throws {
        #expect(try parse(hello.bytes) == "api.one.example")
        #expect(try parse(TestHello("API.One.Example").bytes) == "api.one.example")
        #expect(try ClientHello.parse((hello.bytes + [23, 3, 3])[...])?.length == hello.bytes.count)
    }

    @Test func `cut anywhere, it waits for more and refuses nothing`() throws {
        for bytes in [hello.bytes, hello.bytes(fragments: 7)] {
            for length in 0..<bytes.count { #expect(try parse(Array(bytes[..<length])) == nil, "\(length)") }
        }
    }

    @Test func `a message in several records is one`() throws {
        for size in [4, 5, 50, 100, 200] {
            #expect(try parse(hello.bytes(fragments: size)) == "api.one.example", "\(size)")
        }
        #expect(throws: FlowRefusal.self) { try parse(hello.bytes(fragments: 1)) }
    }

    @Test func `records of another kind, or empty ones, do not come between`() {
        let half = hello.message.count / 2
        let parts = [TestHello.record(hello.message[..<half]), TestHello.record(hello.message[half...])]
        for between in [
            TestHello.record([1], type: 20), TestHello.record([], type: 22), TestHello.record([2, 40], type: 21),
        ] {
            #expect(throws: FlowRefusal.self) { try parse(parts[0] + between + parts[1]) }
        }
    }

    @Test func `nothing stands behind it in its record`() {
        #expect(throws: FlowRefusal.self) { try parse(TestHello.record(hello.message + [0])) }
        #expect(throws: FlowRefusal.self) { try parse(TestHello.record(hello.message + hello.message)) }
    }

    @Test func `what is not a ClientHello is refused as soon as it shows`() {
        for bytes: [UInt8] in [
            [21], [0x80, 0x2e, 1, 3, 1], [22, 2, 1, 0, 100], [22, 3, 0, 0, 100], [22, 3, 4, 0, 100], [22, 3, 1, 0, 0],
            [22, 3, 1, 0x40, 1], [22, 3, 1, 0, 100, 2], [22, 3, 1, 0, 100, 1, 0, 0, 2],
        ] {
            #expect(throws: FlowRefusal.self, "\(bytes)") { try parse(bytes) }
        }
    }

    @Test func `every length that does not fit is refused`() {
        let message = hello.message
        // The two length bytes of: message, session, suites, compressions, extensions, and the name's three.
        let session = 4 + 2 + 32, suites = session + 1 + 32, compressions = suites + 2 + 6
        let extensions = compressions + 2, name = extensions + 2 + 4
        for at in [3, session, suites + 1, compressions, extensions + 1, name + 3, name + 5, name + 8] {
            for change in [-1, 1, 40] {
                var bytes = message
                bytes[at] = UInt8(truncatingIfNeeded: Int(bytes[at]) + change)
                let found = try? parse(TestHello.record(bytes))
                #expect(found == nil || found == .some(nil), "\(at) \(change): \(found ?? nil ?? "")")
            }
        }
    }

    @Test func `exactly one host name is named`() {
        let two = TestHello(names: [Array("one.example".utf8), Array("two.example".utf8)])
        #expect(isRefused(two))
        var twice = hello
        twice.extensions.append(twice.extensions[1])
        #expect(isRefused(twice))
        #expect(isRefused(TestHello(names: [Array("one.example".utf8)], type: 1)))
        #expect(throws: FlowRefusal.noServerName) { try parse(TestHello(nil).bytes) }
        var empty = TestHello(nil)
        empty.extensions = [(0, [])]
        #expect(isRefused(empty))
        empty.extensions = [(0, [0, 0])]
        #expect(isRefused(empty))
        var bare = TestHello(nil)
        bare.extensions = []
        #expect(throws: FlowRefusal.noServerName) { try parse(bare.bytes) }
    }

    @Test func `any extension twice is refused`() {
        var twice = hello
        twice.extensions.append((0x2a2a, [1]))
        #expect(isRefused(twice))
    }

    @Test func `what is no host name is refused`() {
        let long = String(repeating: "a", count: 64)
        for name in [
            "198.51.100.1", "2001:db8::1", "[2001:db8::1]", "one.example.", "one.example..", ".one.example",
            "one..example",
            "one.example:443", "one.example\0", "one.example\0.evil.example", " one.example", "bücher.example", "", ".",
            long + ".example", String(repeating: "abcdefgh.", count: 31) + "example", "1", "0x7f.1", "xn--.example",
            "one.example/", "*.one.example",
        ] {
            #expect(isRefused(TestHello(name)), "\(name)")
        }
        #expect(isRefused(TestHello(names: [Array("one".utf8) + [0xff]])))
    }

    @Test func `an encrypted hello is refused, whether it is one or pretends to be`() {
        for type: UInt16 in [0xfe0d, 0xfe0a, 0xffce] {
            var hidden = hello
            hidden.extensions.append((type, [0, 0, 1, 0, 1, 7]))
            #expect(throws: FlowRefusal.encryptedServerName) { try parse(hidden.bytes) }
        }
    }

    @Test func `other versions are refused`() {
        for version: [UInt8] in [[3, 0], [3, 4], [2, 0], [0xfe, 0xfd]] {
            var other = hello
            other.version = version
            #expect(isRefused(other))
        }
    }

    @Test func `an overlong hello is refused as soon as it says so`() {
        var long = hello
        long.extensions.append((21, [UInt8](repeating: 0, count: ClientHello.maximumLength)))
        #expect(throws: FlowRefusal.tooLong(limit: ClientHello.maximumLength)) {
            try parse(Array(long.bytes.prefix(9)))
        }
        var longest = hello
        longest.extensions.append((21, [UInt8](repeating: 0, count: ClientHello.maximumLength - 300)))
        #expect((try? parse(longest.bytes)) == "api.one.example")
    }

    /// However a hello is damaged: nothing crashes, and a name that is accepted stands in the bytes.
    @Test func `no damage makes a name that is not there`() {
        var random = SystemRandomNumberGenerator()
        for round in 0..<30_000 {
            var bytes = round.isMultiple(of: 3) ? hello.bytes(fragments: 40) : hello.bytes
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let at = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[at] = .random(in: 0...255, using: &random)
                case 1: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                case 2 where bytes.count > 2: bytes.remove(at: at)
                default: bytes.insert(.random(in: 0...255, using: &random), at: at)
                }
            }
            guard let name = (try? parse(bytes)) ?? nil else { continue }
            let content = records(bytes)
            let lower = content.map { (65...90).contains($0) ? $0 | 0x20 : $0 }
            #expect(holds(lower, Array(name.utf8)), "\(name)")
        }
    }

    private func records(_ bytes: [UInt8]) -> [UInt8] {
        var content: [UInt8] = [], at = 0
        while at + 5 <= bytes.count {
            let end = min(bytes.count, at + 5 + Int(bytes[at + 3]) << 8 + Int(bytes[at + 4]))
            content += bytes[(at + 5)..<end]
            at = end
        }
        return content
    }

    private func holds(_ bytes: [UInt8], _ part: [UInt8]) -> Bool {
        bytes.indices.contains { bytes[$0...].starts(with: part) }
    }
}

@Suite struct ServerReplyTests {
    private func serverHello(_ random: [UInt8]) -> [UInt8] {
        TestHello.record([2, 0, 0, 70, 3, 3] + random + [UInt8](repeating: 0, count: 36))
    }
    private let retry: [UInt8] = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2,
        0x11,
        0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    ]

    @Test func `a server that wants another hello is known by its random value`() throws {
        let plain = serverHello([UInt8](repeating: 5, count: 32)), again = serverHello(retry)
        #expect(try ServerReply.asksForHello(plain) == false)
        #expect(try ServerReply.asksForHello(again) == true)
        for length in 0..<ServerReply.helloBytes {
            #expect(try ServerReply.asksForHello(Array(again[..<length])) == nil)
        }
        #expect(try ServerReply.asksForHello([21, 3, 3]) == false, "an alert")
        #expect(throws: FlowRefusal.self) { try ServerReply.asksForHello(TestHello("a.example").bytes) }
        let short =
            TestHello.record([2, 0, 0, 70, 3, 3] + retry.prefix(10))
            + TestHello.record(Array(retry.dropFirst(10)) + retry)
        #expect(throws: FlowRefusal.self) { try ServerReply.asksForHello(short) }
    }

    @Test func `a protocol is switched by 101 alone`() {
        #expect(ServerReply.switchesProtocols(Array("HTTP/1.1 101 Switching".utf8)) == true)
        #expect(ServerReply.switchesProtocols(Array("HTTP/1.1 200 OK".utf8)) == false)
        #expect(ServerReply.switchesProtocols(Array("HTTP/1.1 10".utf8)) == nil)
        #expect(ServerReply.switchesProtocols(Array("HTTP/2".utf8)) == false)
    }

    @Test func `the second hello is found behind what may stand before it`() throws {
        let hello = TestHello("one.example").bytes
        let before = TestHello.record([1], type: 20) + TestHello.record([9, 9, 9], type: 23)
        var second = SecondHello()
        for byte in (before + hello).dropLast() { #expect(try second.append([byte]) == nil) }
        #expect(try second.append([hello.last!])?.description == "one.example")
        #expect(second.bytes == before + hello)
        var other = SecondHello()
        #expect(throws: FlowRefusal.self) { try other.append(TestHello.record([2, 40], type: 21)) }
    }
}
