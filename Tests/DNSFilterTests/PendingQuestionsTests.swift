import NetworkPolicy
import Testing

@testable import DNSFilter

@Suite struct PendingQuestionsTests {
    private let key = CacheKey(name: try! DomainName("a.example"), type: 1)
    private func response(_ identifier: UInt16, name: String = "a.example", code: UInt8 = 0, truncated: Bool = false)
        throws -> UpstreamResponse
    {
        try responseBytes(
            to: queryBytes(name, identifier: identifier), code: code, truncated: truncated,
            records: code == 0 && !truncated ? [(name, 1, 60, [198, 51, 100, 1])] : []
        ).withUnsafeBytes { try UpstreamResponse($0) }
    }

    @Test func `equal questions are asked once and all askers answered`() throws {
        var pending = PendingQuestions<Int>(upstreamCount: 1, timeout: 100)
        #expect(pending.ask(key, for: 1, identifier: 7, now: 0)?.identifier == 7)
        #expect(pending.ask(key, for: 2, identifier: 8, now: 5) == nil)
        guard
            case .answered(_, let answer, let waiters) = pending.receive(
                try response(7), from: 0, overTCP: false, now: 9)
        else {
            Issue.record("not answered")
            return
        }
        #expect(waiters == [1, 2] && answer.addresses.count == 1 && pending.count == 0)
    }

    @Test func `an answer with another number, name, upstream or way is ignored`() throws {
        var pending = PendingQuestions<Int>(upstreamCount: 2, timeout: 100)
        _ = pending.ask(key, for: 1, identifier: 7, now: 0)
        let wrong = [
            pending.receive(try response(8), from: 0, overTCP: false, now: 1),
            pending.receive(try response(7, name: "b.example"), from: 0, overTCP: false, now: 1),
            pending.receive(try response(7), from: 1, overTCP: false, now: 1),
            pending.receive(try response(7), from: 0, overTCP: true, now: 1),
        ]
        for outcome in wrong { if case .ignored = outcome {} else { Issue.record("\(outcome)") } }
        #expect(pending.count == 1)
    }

    @Test func `the next upstream is asked after the time-out, and at the end everybody fails`() {
        var pending = PendingQuestions<Int>(upstreamCount: 2, timeout: 100)
        _ = pending.ask(key, for: 1, identifier: 7, now: 0)
        #expect(pending.expire(now: 99).isEmpty)
        var asked: [Int] = []
        var failed: [Int] = []
        for now in stride(from: UInt64(100), through: 1000, by: 100) {
            for outcome in pending.expire(now: now) {
                switch outcome {
                case .transmit(let transmission): asked.append(transmission.upstream)
                case .answered(_, let answer, let waiters):
                    #expect(answer == .serverFailure)
                    failed += waiters
                case .ignored: break
                }
            }
        }
        #expect(asked == [1, 0, 1] && failed == [1] && pending.count == 0 && pending.nextDeadline == nil)
    }

    @Test func `a truncated answer is asked again over TCP`() throws {
        var pending = PendingQuestions<Int>(upstreamCount: 1, timeout: 100)
        _ = pending.ask(key, for: 1, identifier: 7, now: 0)
        guard
            case .transmit(let again) = pending.receive(
                try response(7, truncated: true), from: 0, overTCP: false, now: 1)
        else {
            Issue.record("not asked again")
            return
        }
        #expect(again.overTCP && again.upstream == 0)
        guard case .answered = pending.receive(try response(7), from: 0, overTCP: true, now: 2) else {
            Issue.record("not answered")
            return
        }
    }

    @Test func `a failing upstream is passed over`() throws {
        var pending = PendingQuestions<Int>(upstreamCount: 2, timeout: 100)
        _ = pending.ask(key, for: 1, identifier: 7, now: 0)
        guard case .transmit(let next) = pending.receive(try response(7, code: 2), from: 0, overTCP: false, now: 1)
        else {
            Issue.record("not passed over")
            return
        }
        #expect(next.upstream == 1)
    }

    @Test func `without an upstream everybody fails in time`() {
        var pending = PendingQuestions<Int>(upstreamCount: 0, timeout: 100)
        #expect(pending.ask(key, for: 1, identifier: 7, now: 0) == nil)
        guard case .answered(_, .serverFailure, [1])? = pending.expire(now: 100).first else {
            Issue.record("not failed")
            return
        }
    }
}
