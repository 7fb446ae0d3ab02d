import Logging
import NIOHTTP1
import SecureAccess
import Testing

@testable import Ingress

@Suite struct AccessCheckTests {
    private let check = AccessCheck(AccessRules(keys: LiveKeys(testKeys), budget: testBudget()) { 1000 })
    private let credential = EndpointCredential.generate()
    private var right: HTTPHeaders { ["opensandbox-secure-access": credential.plain] }
    private let wrong: HTTPHeaders = ["opensandbox-secure-access": "wrong"]
    private func token(_ expires: UInt64) -> RouteToken {
        RouteToken.mint(sandbox: "s", port: 80, expires: expires, keys: testKeys)
    }

    @Test func `a credential or a signature opens, and whatever is presented must be true`() {
        func permits(_ headers: HTTPHeaders, _ token: RouteToken?) -> Bool {
            check.permits(headers, token, credential.hash)
        }
        #expect(permits(right, nil) && permits([:], token(1000)) && permits(right, token(1000)))
        #expect(!permits([:], nil) && !permits(wrong, nil) && !permits([:], token(999)))
        #expect(!permits(wrong, token(1000)))
        #expect(!permits(right, token(999)))
        var twice = right
        twice.add(name: "OpenSandbox-Secure-Access", value: credential.plain)
        #expect(!permits(twice, nil))
    }

    @Test func `an open sandbox is open, but not to a false signature`() {
        #expect(check.permits([:], nil, nil))
        #expect(!check.permits([:], token(999), nil))
    }

    @Test func `without keys no signature is valid`() {
        let keyless = AccessCheck(AccessRules(keys: nil, budget: testBudget()) { 0 })
        #expect(!keyless.permits([:], token(1000), credential.hash))
        #expect(keyless.permits(right, nil, credential.hash))
    }

    @Test func `only a genuine token learns that a sandbox is not there, and one of version 2 has gone with it`() {
        #expect(check.verdict([:], token(1000), .nobody) == .permitted)
        #expect(check.verdict([:], nil, .nobody) == .refused)
        #expect(check.verdict(right, nil, .nobody) == .refused)
        let two = RouteToken.mint(sandbox: "s", port: 80, expires: 1000, epoch: .first, form: .long, keys: testKeys)
        #expect(check.verdict([:], two, .nobody) == .refused)
    }

    @Test func `I2 a token of another epoch opens nothing, and one of version 1 only where none was revoked`() {
        func entrance(_ revocations: UInt64) -> AccessRequirement {
            AccessRequirement(credentialHash: credential.hash, epoch: AccessEpoch(birth: 5, revocations: revocations))
        }
        let two = RouteToken.mint(
            sandbox: "s", port: 80, expires: 1000, epoch: AccessEpoch(birth: 5), form: .long, keys: testKeys)
        for _ in 0..<2 {
            #expect(check.verdict([:], two, entrance(0)) == .permitted)
            #expect(check.verdict([:], two, entrance(1)) == .refused)
            #expect(check.verdict([:], token(1000), entrance(0)) == .permitted)
            #expect(check.verdict([:], token(1000), entrance(1)) == .refused)
        }
    }

    @Test func `version 1 can be refused, version 2 not`() {
        var rules = AccessRules(keys: LiveKeys(testKeys), budget: testBudget()) { 1000 }
        rules.acceptsVersion1 = false
        let strict = AccessCheck(rules)
        #expect(!strict.permits([:], token(1000), credential.hash))
        let two = RouteToken.mint(sandbox: "s", port: 80, expires: 1000, epoch: .first, form: .long, keys: testKeys)
        #expect(strict.permits([:], two, credential.hash))
    }

    @Test func `keys that are replaced are followed at once`() throws {
        let keys = LiveKeys(testKeys), check = AccessCheck(AccessRules(keys: keys, budget: testBudget()) { 1000 })
        #expect(check.permits([:], token(1000), credential.hash))
        keys.replace(with: try KeyRing(active: "a", keys: ["a": [9]]))
        #expect(!check.permits([:], token(1000), credential.hash))
        keys.replace(with: try testKeys.rotated())
        #expect(check.permits([:], token(1000), credential.hash))
    }
}

extension AccessCheck {
    fileprivate func permits(_ headers: HTTPHeaders, _ token: RouteToken?, _ hash: [UInt8]?) -> Bool {
        verdict(headers, token, AccessRequirement(credentialHash: hash, epoch: .first)) == .permitted
    }

    fileprivate func verdict(_ headers: HTTPHeaders, _ token: RouteToken?, _ entrance: AccessRequirement) -> Verdict {
        verdict(headers, token: token, sandbox: "s", for: entrance, client: "192.0.2.1")
    }
}

func testBudget() -> FailureBudget { FailureBudget(logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) }
