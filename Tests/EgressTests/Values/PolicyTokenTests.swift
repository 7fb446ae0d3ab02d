import System
import Testing

@testable import Egress

@Suite struct PolicyTokenTests {
    @Test func `a token matches itself and nothing near it`() {
        var random = SystemRandomNumberGenerator()
        let token = PolicyToken.generate(using: &random)
        #expect(token.utf8.count == PolicyToken.length)
        #expect(ConstantTime.areEqual(token, token))
        for presented in [
            "", String(token.dropLast()), token + "0", String(token.reversed()) + "x", token.uppercased() + " ",
        ] {
            #expect(!ConstantTime.areEqual(presented, token))
        }
        #expect(token != PolicyToken.generate(using: &random))
    }
}
