import SecureAccess
import Testing

@Suite struct VerifiedTokensTests {
    private let keys = LiveKeys(try! KeyRing(active: "a", keys: ["a": [1, 2, 3]]))
    private let epoch = AccessEpoch(birth: 1)

    private func token(_ number: UInt64, _ form: RouteToken.Form = .long) -> RouteToken {
        .mint(sandbox: "s", port: 80, expires: number, epoch: epoch, form: form, keys: keys.current)
    }

    private func seen(_ token: RouteToken, _ verified: inout VerifiedTokens) -> Bool {
        verified.hasSeen(token, epoch: epoch)
    }

    @Test func `a remembered token is checked for everything but its code`() throws {
        var verified = VerifiedTokens(keys: keys)
        let token = token(1000)
        #expect(!seen(token, &verified))
        for _ in 0..<2 { try verified.verify(token, now: 1000, epoch: epoch) }
        #expect(seen(token, &verified))
        #expect(verified.count == 1)
        #expect(throws: RouteTokenError.expired) { try verified.verify(token, now: 1001, epoch: epoch) }
        let revoked = AccessEpoch(birth: 1, revocations: 1)
        #expect(throws: RouteTokenError.wrongSignature) { try verified.verify(token, now: 0, epoch: revoked) }
        let forged = try RouteToken(
            sandbox: "s", port: "80", expires: "rs", signature: String(repeating: "a", count: 27))
        #expect(throws: RouteTokenError.wrongSignature) { try verified.verify(forged, now: 0, epoch: epoch) }
        #expect(!seen(forged, &verified))
        #expect(verified.count == 1)
    }

    @Test func `it always says what the token says itself`() {
        var verified = VerifiedTokens(keys: keys, capacity: 8)
        let tokens = (0..<12).map { token(UInt64($0), Bool.random() ? .long : .label) }
        for _ in 0..<3000 {
            let genuine = tokens.randomElement()!, now = UInt64.random(in: 0...11)
            var signature = Array(genuine.signature)
            if Bool.random() { signature[Int.random(in: 0..<12)] = "abc".randomElement()! }
            let epoch = Bool.random() ? epoch : AccessEpoch(birth: 2)
            let token = try! RouteToken(
                sandbox: "s", port: "80", expires: genuine.expiresText, signature: String(signature))
            func outcome(_ body: () throws(RouteTokenError) -> Void) -> RouteTokenError? {
                do throws(RouteTokenError) { try body() } catch { return error }
                return nil
            }
            let expected = outcome { () throws(RouteTokenError) in
                try token.verify(now: now, epoch: epoch, keys: keys.current)
            }
            let answer = outcome { () throws(RouteTokenError) in try verified.verify(token, now: now, epoch: epoch) }
            #expect(answer == expected)
            #expect(verified.count <= 8)
        }
    }

    @Test func `keys that are replaced empty it`() throws {
        var verified = VerifiedTokens(keys: keys)
        try verified.verify(token(1000), now: 0, epoch: epoch)
        let old = token(1000)
        keys.replace(with: try KeyRing(active: "b", keys: ["b": [7]]))
        #expect(!seen(old, &verified))
        #expect(verified.count == 0)
        #expect(throws: RouteTokenError.unknownKey) { try verified.verify(old, now: 0, epoch: epoch) }
    }
}
