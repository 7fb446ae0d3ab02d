import Logging
import NIOConcurrencyHelpers
import NIOHTTP1
import SecureAccess
import Testing

@testable import Ingress

private let second: UInt64 = 1_000_000_000

@Suite struct ClientKeyTests {
    @Test func `an IPv6 client is its network, an IPv4 one its address in either clothing`() {
        #expect(ClientKey("2001:db8:1:2::1") == ClientKey("2001:db8:1:2:ffff::9"))
        #expect(ClientKey("2001:db8:1:2::1") != ClientKey("2001:db8:1:3::1"))
        #expect(ClientKey("192.0.2.1") == ClientKey("::ffff:192.0.2.1"))
        #expect(ClientKey("192.0.2.1") != ClientKey("192.0.2.2") && ClientKey(nil) == ClientKey("nonsense"))
    }
}

@Suite struct FailureBudgetTests {
    private let clock = NIOLockedValueBox(second)
    private let credential = EndpointCredential.generate()
    private let keys = LiveKeys(testKeys)

    private func budget(_ change: (inout FailureBudget.Limits) -> Void = { _ in }) -> FailureBudget {
        var limits = FailureBudget.Limits()
        limits.clientBurst = 5
        change(&limits)
        return FailureBudget(limits, logger: Logger(label: "t") { _ in SwiftLogNoOpLogHandler() }) { [clock] in
            clock.withLockedValue { $0 }
        }
    }

    private func ask(
        _ check: AccessCheck, _ token: RouteToken?, credential text: String? = nil, from client: String = "192.0.2.1"
    ) -> AccessCheck.Verdict {
        check.verdict(
            text.map { [EndpointCredential.header: $0] } ?? [:], token: token, sandbox: "s",
            for: AccessRequirement(credentialHash: credential.hash, epoch: .first), client: client)
    }

    private func one(_ expires: UInt64 = 1000) -> RouteToken {
        .mint(sandbox: "s", port: 80, expires: expires, keys: testKeys)
    }
    private let two = RouteToken.mint(
        sandbox: "s", port: 80, expires: 1000, epoch: .first, form: .long, keys: testKeys)
    private func guess(_ number: Int) -> RouteToken {
        let digits = String(0x1000_0000 + number, radix: 16)
        return try! RouteToken(sandbox: "s", port: "80", expires: "rs", signature: digits + "a")
    }

    @Test func `I1 guessing is answered with 429 past the budget, and what is true still enters`() {
        let rules = AccessRules(keys: keys, budget: budget()) { 0 }, check = AccessCheck(rules)
        #expect(ask(check, one(7)) == .permitted)
        for number in 0..<5 { #expect(ask(check, guess(number)) == .refused) }
        #expect(ask(check, guess(6)) == .throttled(seconds: 1))
        #expect(ask(check, nil, credential: "wrong") == .throttled(seconds: 1))
        // Version 2 and the static credential cannot be guessed; of version 1 what was verified before, on any loop.
        #expect(ask(check, two) == .permitted)
        #expect(ask(check, nil, credential: credential.plain) == .permitted)
        #expect(ask(check, one(7)) == .permitted && ask(AccessCheck(rules), one(7)) == .permitted)
        // A new one of version 1 is not looked at, or guessing would go on.
        #expect(ask(check, one(8)) == .throttled(seconds: 1))
        #expect(ask(check, one(8), from: "192.0.2.2") == .permitted)
        clock.withLockedValue { $0 += second }
        #expect(ask(check, one(9)) == .permitted)
        // Nothing presented is no guess.
        #expect(ask(check, nil) == .refused)
    }

    @Test func `I1 guesses of version 1 from one address are bounded by time`() {
        let check = AccessCheck(AccessRules(keys: keys, budget: budget()) { 0 })
        var looked = 0
        for number in 0..<60_000 {
            if ask(check, guess(number)) == .refused { looked += 1 }
            clock.withLockedValue { $0 += second / 1000 }
        }
        #expect((60...66).contains(looked))
    }

    @Test func `a crowd of guessers shuts out itself, not a client with a clean record`() {
        let check = AccessCheck(AccessRules(keys: keys, budget: budget { $0.sandboxBurst = 20 }) { 0 })
        for number in 0..<40 { _ = ask(check, guess(number), from: "10.0.0.\(number)") }
        #expect(ask(check, guess(99), from: "10.0.0.1") == .throttled(seconds: 1))
        #expect(ask(check, one(11), from: "192.0.2.7") == .permitted)
        #expect(ask(check, two, from: "10.0.0.1") == .permitted)
    }

    @Test func `what is late is no guess`() {
        let check = AccessCheck(AccessRules(keys: keys, budget: budget()) { 2000 })
        for _ in 0..<20 { #expect(ask(check, two) == .refused && ask(check, one()) == .refused) }
        #expect(ask(check, guess(1)) == .refused)
    }

    @Test func `the log has one line a second, and no secret`() {
        let lines = NIOLockedValueBox<[String]>([])
        let logger = Logger(label: "t") { _ in ListHandler(lines: lines) }
        let budget = FailureBudget(logger: logger) { [clock] in clock.withLockedValue { $0 } }
        let check = AccessCheck(AccessRules(keys: keys, budget: budget) { 0 })
        for number in 0..<9 { _ = ask(check, guess(number)) }
        clock.withLockedValue { $0 += second }
        _ = ask(check, nil, credential: "the-wrong-one")
        let seen = lines.withLockedValue { $0 }
        #expect(seen.count == 2 && seen[1].contains("not-logged=8") && seen[0].contains("sandbox=s"))
        #expect(!seen.contains { $0.contains("the-wrong-one") || $0.contains("10000000") })
    }
}

/// Keeps lines.
private struct ListHandler: LogHandler {
    let lines: NIOLockedValueBox<[String]>
    var logLevel = Logger.Level.trace
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let text = (event.metadata ?? [:]).map { "\($0)=\($1)" }.joined(separator: " ")
        lines.withLockedValue { $0.append("\(event.message) \(text)") }
    }
}
