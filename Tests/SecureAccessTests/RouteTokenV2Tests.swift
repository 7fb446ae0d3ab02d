import Foundation
import SecureAccess
import Testing

/// Tokens that Python's hmac computed (`Vectors/make-v2-vectors.py`).
private struct Vectors: Decodable {
    struct Vector: Decodable {
        var secret_hex: String
        var key_id: String
        var sandbox_id: String
        var port: Int
        var expires: UInt64
        var epoch: String
        var label: String
        var header: String
        var path: String
    }
    var vectors: [Vector]

    static func read() throws -> [Vector] {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "Vectors/route-token-v2-vectors.json")
        return try JSONDecoder().decode(Vectors.self, from: Data(contentsOf: file)).vectors
    }
}

@Suite struct RouteTokenV2Tests {
    private let keys = try! KeyRing(active: "a", keys: ["a": [1, 2, 3], "b": [4, 5, 6]])
    private let epoch = AccessEpoch(birth: 1_790_000_000_000_000, revocations: 3)
    private static let uuid = "a1b2c3d4-5678-90ab-cdef-1234567890ab"

    private func token(
        _ sandbox: String = uuid, _ port: Int = 8080, expires: UInt64 = 2_000_000_000,
        _ form: RouteToken.Form = .long
    ) -> RouteToken {
        .mint(sandbox: sandbox, port: port, expires: expires, epoch: epoch, form: form, keys: keys)
    }

    @Test func `tokens are what an independent program computes`() throws {
        let vectors = try Vectors.read()
        #expect(vectors.count == 5)
        for vector in vectors {
            let secret = stride(from: 0, to: vector.secret_hex.count, by: 2).map {
                UInt8(vector.secret_hex.dropFirst($0).prefix(2), radix: 16)!
            }
            let keys = try KeyRing(active: Character(vector.key_id), keys: [Character(vector.key_id): secret])
            let epoch = try #require(AccessEpoch(vector.epoch))
            #expect(epoch.description == vector.epoch)
            func mint(_ form: RouteToken.Form) -> RouteToken {
                .mint(
                    sandbox: vector.sandbox_id, port: vector.port, expires: vector.expires, epoch: epoch, form: form,
                    keys: keys)
            }
            #expect(try mint(.label).label() == vector.label)
            #expect(mint(.long).text == vector.header)
            #expect(mint(.long).pathPrefix == vector.path)
            for (text, form) in [(vector.label, RouteToken.Form.label), (vector.header, .long)] {
                let read = try RouteToken(text, in: form)
                #expect(read == mint(form) && read.version == .two && read.form == form)
                try read.verify(now: vector.expires, epoch: epoch, keys: keys)
            }
        }
    }

    @Test(arguments: RouteToken.Form.allCases)
    func `I2 nothing that a token is bound to can be another`(form: RouteToken.Form) throws {
        let token = token(Self.uuid, 8080, form)
        try token.verify(now: 2_000_000_000, epoch: epoch, keys: keys)
        func verify(_ sandbox: String, _ port: Int, _ expires: UInt64, _ signature: some StringProtocol) throws {
            try RouteToken(
                sandbox: sandbox, port: "\(port)", expires: String(expires, radix: 36), signature: signature, in: form
            ).verify(now: 0, epoch: epoch, keys: keys)
        }
        try verify(token.sandbox, 8080, 2_000_000_000, token.signature)
        let wrong = RouteTokenError.wrongSignature
        #expect(throws: wrong) { try verify("b" + token.sandbox.dropFirst(), 8080, 2_000_000_000, token.signature) }
        #expect(throws: wrong) { try verify(token.sandbox, 8081, 2_000_000_000, token.signature) }
        #expect(throws: wrong) { try verify(token.sandbox, 8080, 2_000_000_001, token.signature) }
        #expect(throws: wrong) { try verify(token.sandbox, 8080, 2_000_000_000, token.signature.dropLast() + "b") }
        #expect(throws: RouteTokenError.unknownKey) {
            try verify(token.sandbox, 8080, 2_000_000_000, token.signature.dropLast() + "c")
        }
        for position in 0..<token.signature.count - 1 {
            var digits = Array(token.signature)
            // The last digit of a long code has two bits that must be zero: every fourth digit is one.
            digits[position] = digits[position] == "a" ? "e" : "a"
            #expect(throws: wrong) { try verify(token.sandbox, 8080, 2_000_000_000, String(digits)) }
        }
        for other in [
            AccessEpoch(birth: epoch.birth, revocations: 4), AccessEpoch(birth: epoch.birth, revocations: 2),
            AccessEpoch(birth: epoch.birth + 1, revocations: 3), .first,
        ] {
            #expect(throws: wrong) { try token.verify(now: 0, epoch: other, keys: keys) }
        }
        #expect(throws: RouteTokenError.expired) { try token.verify(now: 2_000_000_001, epoch: epoch, keys: keys) }
    }

    @Test func `a code has one text only`() throws {
        var digits = Array(token().signature)
        #expect("aeimquy4".contains(digits[25]))
        digits[25] = "b"
        #expect(throws: RouteTokenError.malformed) {
            try RouteToken(sandbox: "s", port: "80", expires: "1", signature: String(digits))
        }
    }

    @Test func `a token stands in its own form only, and version 1 in all`() throws {
        #expect(throws: RouteTokenError.malformed) { try RouteToken(token("s", 80, .label).text, in: .long) }
        #expect(throws: RouteTokenError.malformed) { try RouteToken(token("s", 80, .long).text, in: .label) }
        let one = RouteToken.mint(sandbox: "s", port: 80, expires: 1000, keys: keys)
        for form in RouteToken.Form.allCases { #expect(try RouteToken(one.text, in: form) == one) }
        #expect(one.version == .one && one.form == nil)
    }

    @Test func `version 1 ends with the first revocation`() throws {
        let one = RouteToken.mint(sandbox: "s", port: 80, expires: 1000, keys: keys)
        try one.verify(now: 0, epoch: AccessEpoch(birth: 7), keys: keys)
        #expect(throws: RouteTokenError.revoked) {
            try one.verify(now: 0, epoch: AccessEpoch(birth: 7, revocations: 1), keys: keys)
        }
    }

    @Test func `a label has room for the longest route there is, and says when it has not`() throws {
        let fits = token(Self.uuid, 65535, expires: 2_176_782_335, .label)
        #expect(try fits.label().utf8.count == 63)
        #expect(throws: RouteTokenError.labelTooLong(64)) {
            try token(Self.uuid, 65535, expires: 2_176_782_336, .label).label()
        }
        #expect("\(RouteTokenError.labelTooLong(64))".contains("64 characters and DNS allows 63"))
    }

    @Test func `any token survives its text, and no version is taken for another`() throws {
        for _ in 0..<500 {
            let sandbox = (0..<Int.random(in: 1...40)).map { _ in String("abc019-".randomElement()!) }.joined()
            let port = Int.random(in: 1...65535), expires = UInt64.random(in: 0 ... .max)
            let one = RouteToken.mint(sandbox: sandbox, port: port, expires: expires, keys: keys)
            let short = token(sandbox, port, expires: expires, .label), long = token(sandbox, port, expires: expires)
            for minted in [one, short, long] {
                let read = try RouteToken(minted.text)
                #expect(read == minted && read.version == minted.version && read.form == minted.form)
            }
            #expect(Set([one, short, long].map(\.signature.utf8.count)) == [9, 13, 27])
            #expect(!long.signature.hasPrefix(short.signature.dropLast()))
        }
    }

    @Test func `random texts never crash and never verify`() throws {
        let keys = try KeyRing(active: "a", keys: ["a": SecureRandom.bytes(32)])
        let lengths = [9, 13, 27, Int.random(in: 0...40)]
        for _ in 0..<20_000 {
            let signature = (0..<lengths.randomElement()!).map { _ in String("ab27f019A\u{e9}".randomElement()!) }
            let text = "s-80-abc-" + signature.joined()
            guard let token = try? RouteToken(text) else { continue }
            #expect(throws: RouteTokenError.self) { try token.verify(now: 0, epoch: .first, keys: keys) }
        }
    }
}

@Suite struct AccessEpochTests {
    @Test func `an epoch survives its text, and has one only`() {
        for _ in 0..<200 {
            let epoch = AccessEpoch(birth: .random(in: 0 ... .max), revocations: .random(in: 0...99))
            #expect(AccessEpoch("\(epoch)") == epoch)
        }
        for text in ["", ".", "0", "0.", ".0", "00.0", "0.01", "A.0", "0.0.0", "-1.0", "+1.0", "3w5e11264sgsg.0"] {
            #expect(AccessEpoch(text) == nil, "\(text)")
        }
    }
}

@Suite struct KeyRotationTests {
    @Test func `a rotated ring signs with the new key and knows the old ones`() throws {
        let old = try KeyRing.parse("a=base64:AAEC"), new = try old.rotated()
        #expect(new.active == "b" && new.ids == ["b", "a"])
        #expect(try KeyRing.parse(new.text) == new)
        let token = RouteToken.mint(sandbox: "s", port: 80, expires: 9, epoch: .first, form: .long, keys: old)
        try token.verify(now: 0, epoch: .first, keys: new)
        #expect(throws: RouteTokenError.unknownKey) {
            try token.verify(now: 0, epoch: .first, keys: try new.removing("a"))
        }
        #expect(throws: KeyRingError.unknownActiveKey("b")) { try new.removing("b") }
        #expect(throws: KeyRingError.unknownKey("z")) { try new.removing("z") }
    }

    @Test func `there are as many keys as ids`() throws {
        var ring = try KeyRing.parse("a=base64:AAEC")
        for _ in 1..<36 { ring = try ring.rotated() }
        #expect(Set(ring.ids).count == 36)
        #expect(throws: KeyRingError.full) { try ring.rotated() }
    }
}
