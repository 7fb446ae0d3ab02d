import Testing

@testable import HTTPWire

@Suite struct WebSocketKeyTests {
    private func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    /// Examples of FIPS 180 and of RFC 3174.
    @Test(arguments: [
        ("", 1, "da39a3ee5e6b4b0d3255bfef95601890afd80709"), ("abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1, "84983e441c3bd26ebaae4aa1f95129e5e54670f1"),
        ("a", 1_000_000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f"),
        (
            "0123456701234567012345670123456701234567012345670123456701234567", 10,
            "dea356a2cddd90c7a7ecedc5ebb563934f460452"
        ),
    ]) func `the digest is that of the standard`(_ text: String, _ times: Int, _ digest: String) {
        #expect(hexadecimal(WebSocketKey.sha1(Array(String(repeating: text, count: times).utf8))) == digest)
    }

    /// RFC 4648, section 10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ]) func `bytes are written in base64`(_ text: String, _ written: String) {
        #expect(WebSocketKey.base64(Array(text.utf8)) == written)
    }

    /// RFC 6455, section 1.3.
    @Test func `the answer to a key is that of the protocol`() {
        #expect(WebSocketKey.accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    }

    @Test func `a client's key is 16 bytes, each time others`() {
        let keys = Set((0..<10).map { _ in WebSocketKey.random() })
        #expect(keys.count == 10 && keys.allSatisfy { $0.utf8.count == 24 && $0.hasSuffix("==") })
    }
}
