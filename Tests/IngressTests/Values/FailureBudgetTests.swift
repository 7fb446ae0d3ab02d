import Logging
import NIOConcurrencyHelpers
import NIOHTTP1
import SecureAccess
import Testing

@testable import Ingress

private let second: UInt64 = 1_000_000_000

@Suite struct AllowancesTests {
    @Test func `so many at once, then one after each interval`() {
        var allowances = Allowances<String>(burst: 3, interval: .seconds(1), capacity: 10)
        for _ in 0..<3 {
            #expect(allowances.wait("a", at: second) == 0)
            allowances.charge("a", at: second)
        }
        #expect(allowances.wait("a", at: second) == second && allowances.wait("b", at: second) == 0)
        // What is not put up with does not make the wait longer.
        for _ in 0..<100 { allowances.charge("a", at: second) }
        #expect(allowances.wait("a", at: second) == second)
        #expect(allowances.wait("a", at: 2 * second - 1) == 1 && allowances.wait("a", at: 2 * second) == 0)
        #expect(!allowances.isClean("a", at: 4 * second - 1) && allowances.isClean("a", at: 4 * second))
    }

    @Test func `it agrees with a bucket that is filled drop by drop`() {
        for _ in 0..<50 {
            var allowances = Allowances<Int>(burst: 5, interval: .nanoseconds(10), capacity: 100)
            var now: UInt64 = 1000, drops = 50
            for _ in 0..<200 {
                let step = UInt64.random(in: 0...30)
                now += step
                drops = min(50, drops + Int(step))
                #expect((allowances.wait(1, at: now) == 0) == (drops >= 10))
                if drops >= 10 { drops -= 10 }
                allowances.charge(1, at: now)
            }
        }
    }

    @Test func `it is bounded, and forgets those with the least to pay`() {
        var allowances = Allowances<Int>(burst: 9, interval: .seconds(1), capacity: 100)
        for _ in 0..<9 { allowances.charge(-1, at: second) }
        for key in 0..<10_000 {
            allowances.charge(key, at: second)
            #expect(allowances.count <= 101)
        }
        #expect(allowances.wait(-1, at: second) > 0)
    }
}

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
