import System
import Testing

@Suite struct PercentEncodingTests {
    @Test(arguments: [("a%20b", "a b"), ("%2F", "/"), ("plain", "plain"), ("%C3%A9", "é"), ("a+b", "a+b")])
    func `escapes decode to their bytes`(encoded: String, plain: String) {
        #expect(PercentEncoding.decode(encoded) == plain)
    }

    @Test(arguments: ["%", "%2", "%zz", "%ff", "%C3", "%+f", "%-1", "% 1"])
    func `a malformed escape decodes to nothing`(encoded: String) {
        #expect(PercentEncoding.decode(encoded) == nil)
    }

    @Test func `any text survives encoding and decoding, whatever stays plain beside the percent sign`() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<500 {
            let scalars = (0..<Int.random(in: 0...12, using: &random)).compactMap { _ in
                Unicode.Scalar(UInt32.random(in: 0...0x10FFFF, using: &random))
            }
            let text = String(String.UnicodeScalarView(scalars))
            #expect(PercentEncoding.decode(PercentEncoding.encode(text)) == text)
            let loose = PercentEncoding.encode(text) { (0x20..<0x7f).contains($0) && $0 != UInt8(ascii: "%") }
            #expect(PercentEncoding.decode(loose) == text)
        }
    }
}

@Suite struct ConstantTimeTests {
    @Test func `only the whole secret equals itself`() {
        let secret = "0123456789abcdef"
        #expect(ConstantTime.areEqual(secret, secret))
        for guess in [
            "", "0", "0123456789abcdeF", "x123456789abcdef", secret + "0", secret + secret, String(secret.dropLast()),
        ] {
            #expect(!ConstantTime.areEqual(guess, secret), "\(guess)")
        }
    }

    @Test func `an empty secret lets nobody in`() {
        #expect(!ConstantTime.areEqual("", "") && !ConstantTime.areEqual("a", ""))
        #expect(!ConstantTime.areEqual([UInt8](), []))
    }
}
