import Foundation
import SecureAccess
import Testing

/// Tokens that an independent program computed.
private struct Vectors: Decodable {
    struct Valid: Decodable {
        var secret_hex: String
        var key_id: String
        var sandbox_id: String
        var port: Int
        var expires: UInt64
        var expires_b36: String
        var signature: String
        var token: String
        var uri: String

        var keys: KeyRing {
            get throws {
                let digits = Array(secret_hex)
                let secret = stride(from: 0, to: digits.count, by: 2).map {
                    UInt8(String(digits[$0...$0 + 1]), radix: 16)!
                }
                return try KeyRing(active: Character(key_id), keys: [Character(key_id): secret])
            }
        }
    }
    struct Invalid: Decodable {
        var token: String
        var why: String
    }
    var vectors: [Valid]
    var invalid: [Invalid]

    static let all: Vectors = {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "Vectors/route-token-vectors.json")
        return try! JSONDecoder().decode(Vectors.self, from: Data(contentsOf: file))
    }()
}

@Suite struct RouteTokenTests {
    @Test func `tokens are minted as the vectors say and read back`() throws {
        #expect(Vectors.all.vectors.count == 5)
        for vector in Vectors.all.vectors {
            let minted = RouteToken.mint(
                sandbox: vector.sandbox_id, port: vector.port, expires: vector.expires, keys: try vector.keys)
            #expect(minted.text == vector.token)
            #expect(minted.pathPrefix + "/" == vector.uri)
            #expect(minted.expiresText == vector.expires_b36)
            let read = try RouteToken(vector.token)
            #expect(read == minted)
            try read.verify(now: vector.expires, epoch: .first, keys: vector.keys)
        }
    }

    @Test func `invalid tokens are refused by their form`() {
        #expect(Vectors.all.invalid.count == 9)
        for vector in Vectors.all.invalid {
            #expect(throws: RouteTokenError.malformed, "\(vector.why)") { try RouteToken(vector.token) }
        }
    }

    private let keys = try! KeyRing(active: "a", keys: ["a": [1, 2, 3], "b": [4, 5, 6]])

    @Test func `a token holds through its last second and not the next`() throws {
        let token = RouteToken.mint(sandbox: "s", port: 80, expires: 1000, keys: keys)
        try token.verify(now: 1000, epoch: .first, keys: keys)
        #expect(throws: RouteTokenError.expired) { try token.verify(now: 1001, epoch: .first, keys: keys) }
    }

    @Test func `no part of a token can be changed`() throws {
        let token = RouteToken.mint(sandbox: "my-sandbox", port: 8080, expires: 2_000_000_000, keys: keys)
        func verify(_ sandbox: String, _ port: String, _ expires: String, _ signature: String) throws {
            try RouteToken(sandbox: sandbox, port: port, expires: expires, signature: signature).verify(
                now: 0, epoch: .first, keys: keys)
        }
        try verify("my-sandbox", "8080", token.expiresText, token.signature)
        #expect(throws: RouteTokenError.wrongSignature) {
            try verify("my-sandboy", "8080", token.expiresText, token.signature)
        }
        #expect(throws: RouteTokenError.wrongSignature) {
            try verify("my-sandbox", "8081", token.expiresText, token.signature)
        }
        #expect(throws: RouteTokenError.wrongSignature) { try verify("my-sandbox", "8080", "zzzzzz", token.signature) }
        #expect(throws: RouteTokenError.wrongSignature) {
            try verify("my-sandbox", "8080", token.expiresText, token.signature.dropLast() + "b")
        }
        #expect(throws: RouteTokenError.unknownKey) {
            try verify("my-sandbox", "8080", token.expiresText, token.signature.dropLast() + "c")
        }
        for position in 0..<8 {
            var digits = Array(token.signature)
            digits[position] = digits[position] == "0" ? "1" : "0"
            #expect(throws: RouteTokenError.wrongSignature) {
                try verify("my-sandbox", "8080", token.expiresText, String(digits))
            }
        }
    }

    @Test func `any token survives its text`() throws {
        for _ in 0..<500 {
            let sandbox = (0..<Int.random(in: 1...40)).map { _ in String("abc019-".randomElement()!) }.joined()
            let token = RouteToken.mint(
                sandbox: sandbox, port: Int.random(in: 1...65535), expires: UInt64.random(in: 0 ... .max), keys: keys)
            #expect(try RouteToken(token.text) == token)
        }
    }

    @Test func `random texts never crash and never verify`() {
        for _ in 0..<20_000 {
            let text = (0..<Int.random(in: 0...40)).map { _ in String("az09-AZ\u{e9}".randomElement()!) }.joined()
            guard let token = try? RouteToken(text) else { continue }
            #expect(throws: RouteTokenError.self) {
                try token.verify(now: 0, epoch: .first, keys: KeyRing(active: "a", keys: ["a": SecureRandom.bytes(32)]))
            }
        }
    }
}

@Suite struct KeyRingTests {
    @Test func `keys are read in the gateway's form and the first signs`() throws {
        let keys = try KeyRing.parse("a=base64:c2VjcmV0,b=base64:AAEC")
        #expect(keys.active == "a")
        #expect(try KeyRing.parse("a=base64:c2VjcmV0,b=base64:AAEC", active: "b").active == "b")
    }

    @Test(arguments: [
        "", "a", "a=c2VjcmV0", "a=base64:", "ab=base64:AAEC", "A=base64:AAEC", "a=base64:!!",
        "a=base64:AAEC,a=base64:AAEC",
    ])
    func `malformed keys are refused without being repeated`(text: String) {
        let error = #expect(throws: KeyRingError.self) { try KeyRing.parse(text) }
        #expect(error?.description.contains("AAEC") == false)
    }

    @Test func `the active key must be there`() {
        #expect(throws: KeyRingError.unknownActiveKey("z")) { try KeyRing.parse("a=base64:AAEC", active: "z") }
    }
}

@Suite struct EndpointCredentialTests {
    @Test func `a credential is known by its hash only and no other matches`() {
        let (plain, hash) = EndpointCredential.generate()
        #expect(plain.count == 43 && hash.count == 32)
        #expect(EndpointCredential.matches(plain, hash: hash))
        #expect(!EndpointCredential.matches(plain + "x", hash: hash))
        #expect(!EndpointCredential.matches("", hash: hash))
        #expect(EndpointCredential.generate().plain != plain)
    }

    @Test func `SHA-256 is the standard's`() {
        #expect(SHA256Digest.of(Array("abc".utf8)).prefix(4) == [0xba, 0x78, 0x16, 0xbf])
    }
}
