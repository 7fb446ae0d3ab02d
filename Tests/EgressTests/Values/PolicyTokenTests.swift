import Testing

@testable import Egress

@Suite struct PolicyTokenTests {
    @Test func `a token matches itself and nothing near it`() {
        var random = SystemRandomNumberGenerator()
        let token = PolicyToken.generate(using: &random)
        #expect(token.utf8.count == PolicyToken.length)
        #expect(PolicyToken.matches(token, token))
        for presented in [
            "", String(token.dropLast()), token + "0", String(token.reversed()) + "x", token.uppercased() + " ",
        ] {
            #expect(!PolicyToken.matches(presented, token))
        }
        #expect(token != PolicyToken.generate(using: &random))
    }

    @Test func `no token is expected of an unknown sandbox, and none matches`() {
        #expect(!PolicyToken.matches("", ""))
        #expect(!PolicyToken.matches("a", ""))
    }
}
