import NetworkPolicy
import Testing

@Suite struct DomainNameTests {
    @Test(arguments: [
        ("Example.COM", "example.com"), ("example.com.", "example.com"), ("_dmarc.Example.com", "_dmarc.example.com"),
        ("bücher.example", "xn--bcher-kva.example"), ("BÜCHER.example", "xn--bcher-kva.example"),
        ("例え.jp", "xn--r8jz45g.jp"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"), ("a--b.example", "a--b.example"),
    ])
    func `a name is read into its canonical form`(text: String, canonical: String) throws {
        #expect(try DomainName(text).description == canonical)
    }

    @Test(arguments: [
        "", ".", "..", "localhost..", "a..b", ".a", "a b.com", "a\0.com", "a\n.com", "a/b.com", "example.com:443",
        "1.2.3.4", "::1",
        "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "a.1", "a.0x1f", "-a.com", "a-.com", "exa。mple.com",
        "ｅxample.com",
        "xn--\u{e9}.com", "xn--a.com", "xn--0.com", "e\u{301}.com", "a%2e.com", "a@b.com", "*.com", "[::1]",
        "http://a.com", "a\\b.com",
    ])
    func `what is not plainly a host name is refused`(text: String) {
        #expect(throws: DomainNameError.self) { try DomainName(text) }
    }

    @Test func `labels end at 63 bytes and names at 255`() throws {
        let label = String(repeating: "a", count: 63)
        #expect(throws: Never.self) { try DomainName(label) }
        #expect(throws: DomainNameError.labelTooLong(length: 64)) { try DomainName(label + "a") }
        let longest = [label, label, label, String(repeating: "b", count: 61)].joined(separator: ".")
        #expect(try DomainName(longest).wire.count == 255)
        #expect(throws: DomainNameError.nameTooLong(length: 256)) { try DomainName(longest + "b") }
    }

    @Test func `a subdomain is judged at label boundaries`() throws {
        let zone = try DomainName("example.com")
        #expect(try DomainName("a.example.com").isSubdomain(of: zone))
        #expect(try DomainName("a.b.example.com").isSubdomain(of: zone))
        #expect(try !DomainName("example.com").isSubdomain(of: zone))
        #expect(try !DomainName("notexample.com").isSubdomain(of: zone))
        #expect(try !DomainName("a.example.com.evil.org").isSubdomain(of: zone))
        #expect(try DomainName("a.example.com").parent == zone)
    }

    @Test func `random bytes either are refused or read back as the same name`() throws {
        for _ in 0..<20_000 {
            var bytes = (0..<Int.random(in: 0...40)).map { _ in UInt8.random(in: 0...255) }
            if Bool.random() {
                bytes =
                    (0..<Int.random(in: 1...4)).flatMap { _ in
                        let label = (0..<Int.random(in: 1...6)).map { _ in "abcXYZ019-_.\0é".utf8.randomElement()! }
                        return [UInt8(label.count)] + label
                    } + [0]
            }
            guard let name = try? DomainName(wire: bytes) else { continue }
            #expect(try DomainName(wire: name.wire) == name)
            #expect(name.wire.count == bytes.count)
            if let again = try? DomainName(name.description) { #expect(again == name) }
        }
    }
}
