import Testing

@testable import Redis

@Suite struct RESPTests {
    @Test func `a command is an array of bulk strings, whatever is in its words`() {
        #expect(
            String(decoding: RESPValue.command(["SET", "k", "a\r\nü"]), as: UTF8.self)
                == "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\na\r\nü\r\n")
    }

    @Test func `values are read however the bytes are cut`() throws {
        let text =
            "+OK\r\n-ERR no\r\n:-12\r\n$5\r\na\r\nbc\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n*2\r\n$1\r\nq\r\n*1\r\n:1\r\n"
        let expected: [RESPValue] = [
            .simple("OK"), .error("ERR no"), .integer(-12), .bulk(Array("a\r\nbc".utf8)), .bulk([]), .bulk(nil),
            .array(nil), .array([]), .array([.bulk([UInt8(ascii: "q")]), .array([.integer(1)])]),
        ]
        let bytes = Array(text.utf8)
        for size in 1...bytes.count {
            var reader = RESPReader(), values: [RESPValue] = []
            for start in stride(from: 0, to: bytes.count, by: size) {
                reader.append(bytes[start..<min(start + size, bytes.count)])
                while let value = try reader.next() { values.append(value) }
            }
            #expect(values == expected)
        }
    }

    @Test(arguments: [
        "x\r\n", "\r\n", "+OK\n", ":1x\r\n", ":\r\n", ":+1\r\n", "$-2\r\n", "*-2\r\n", "$1\r\nabc\r\n", "$1x\r\n",
    ])
    func `what is no RESP2 ends the stream`(_ text: String) {
        var reader = RESPReader()
        reader.append(text.utf8)
        #expect(throws: RESPError.malformed) { try reader.next() }
    }

    @Test(arguments: [
        "$99999999\r\n", "*99999\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", String(repeating: "+", count: 70_000),
    ])
    func `what would fill the memory is refused before it comes`(_ text: String) {
        var reader = RESPReader()
        reader.append(text.utf8)
        #expect(throws: RESPError.tooLarge) { try reader.next() }
    }

    @Test func `no bytes whatever bring the reader down`() {
        var generator = SystemRandomNumberGenerator()
        let alphabet = Array("+-:$*0123456789\r\nax".utf8)
        for _ in 0..<3000 {
            var reader = RESPReader(maxString: 64, maxElements: 8)
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                reader.append((0..<12).map { _ in alphabet.randomElement(using: &generator)! })
                while (try? reader.next()) != nil {}
            }
        }
    }

    @Test func `an address is read, and its description has no password`() throws {
        let address = try RedisAddress("redis://us%40er:p%3Ass@redis.example:7000/3")
        #expect(
            address == RedisAddress(host: "redis.example", port: 7000, user: "us@er", password: "p:ss", database: 3))
        #expect("\(address)" == "redis.example:7000/3")
        #expect(try RedisAddress("redis://:secret@h") == RedisAddress(host: "h", password: "secret"))
        #expect(try RedisAddress("redis://[::1]:1/") == RedisAddress(host: "::1", port: 1))
        #expect(try RedisAddress("redis://127.0.0.1:6379/0") == RedisAddress())
        #expect(
            try RedisAddress("rediss://:a%3Fb@h:7/2")
                == RedisAddress(host: "h", port: 7, password: "a?b", database: 2, tls: .init()))
        #expect(
            try RedisAddress("rediss://h?ssl_ca_certs=/a%20b&ssl_cert_reqs=required&ssl_certfile=/c&ssl_keyfile=/k")
                == RedisAddress(host: "h", tls: .init(authorities: "/a b", certificate: "/c", key: "/k")))
    }

    @Test func `a certificate names a host, and a wildcard one label of it`() {
        for (host, name, isRight) in [
            ("h", "h", true), ("H.a.example", "h.A.example.", true), ("h.a.example", "*.a.example", true),
            ("x.h.a.example", "*.a.example", false), ("a.example", "*.a.example", false),
            ("a.example", "*.example", false),
            ("h", "*", false), (".a.example", "*.a.example", false), ("h.a.example", "*", false), ("h", "", false),
        ] { #expect(RedisTLS.isNamed(host, by: ["other", name]) == isRight, "\(host) by \(name)") }
    }

    @Test(arguments: [
        "", "h:1", "redis://", "redis://:1", "redis://h:0", "redis://h:x", "redis://h/x", "redis://h/-1",
        "redis://u:%zz@h", "redis://[::1]x", "redis://h/0?ssl_ca_certs=/a", "rediss://",
        "rediss://h?ssl_cert_reqs=none",
        "rediss://h?ssl_check_hostname=false", "rediss://h?ssl_ca_certs=", "rediss://h?ssl_ca_certs=%zz",
        "rediss://h?x=%zz",
        "rediss://h?ssl_certfile=/c", "rediss://h/0?ssl_keyfile=/k", "rediss://u:%zz@h?ssl_ca_certs=/a",
    ])
    func `what is no address is refused and not repeated`(_ text: String) {
        #expect {
            try RedisAddress(text)
        } throws: { error in
            guard case .address(let reason)? = error as? RedisError else { return false }
            return !reason.contains("%zz")
        }
    }
}
