import NetworkPolicy
import Testing

@testable import DNSFilter

/// `PendingQuestions` with a clock and randomness of the test's own.
private struct Rig {
    static let key = CacheKey(name: try! DomainName("a.example"), type: 1)
    var pending: PendingQuestions<Int>
    var random = SeededGenerator()
    var socketID: UInt64 = 0
    /// What went out, each by a socketID of its own.
    var sent: [(transmission: Transmission, socketID: UInt64)] = []

    init(_ upstreams: Int, timeout: UInt64 = 1000, streams: Bool = false, randomisesCase: Bool = true) {
        pending = PendingQuestions(
            upstreams: Array(repeating: UpstreamTraits(isStream: streams), count: upstreams),
            limits: PendingLimits(timeout: timeout, maxQuestions: 4, maxWaiters: 3), randomisesCase: randomisesCase)
    }

    @discardableResult
    mutating func ask(_ waiter: Int, name: String = "a.example", now: UInt64 = 0) -> PendingQuestions<Int>.Admission {
        let key = CacheKey(name: try! DomainName(name), type: 1)
        let admission = pending.ask(key, for: waiter, using: &random, now: now)
        if case .transmit(let transmission) = admission { note(transmission) }
        return admission
    }

    mutating func note(_ transmission: Transmission) {
        socketID += 1
        pending.sent(transmission, by: socketID)
        sent.append((transmission, socketID))
    }

    mutating func note(_ outcomes: [PendingQuestions<Int>.Outcome]) -> [PendingQuestions<Int>.Outcome] {
        for case .transmit(let transmission) in outcomes { note(transmission) }
        return outcomes
    }

    mutating func expire(_ now: UInt64) -> [PendingQuestions<Int>.Outcome] {
        note(pending.expire(now: now, using: &random))
    }

    /// Lets time pass until something more is sent; the time then.
    mutating func untilSent() -> UInt64 {
        let before = sent.count
        var now: UInt64 = 0
        while sent.count == before, let next = pending.nextDeadline {
            now = next
            _ = expire(now)
        }
        return now
    }

    /// A response to what was sent as the number-th, changed as the test wants.
    mutating func respond(
        to number: Int, now: UInt64, code: UInt8 = 0, truncated: Bool = false,
        changed: (inout [UInt8]) -> Void = { _ in },
        origin: ((inout ResponseOrigin) -> Void)? = nil
    ) -> PendingQuestions<Int>.Outcome {
        let (transmission, socketID) = sent[number]
        var bytes = responseBytes(
            to: transmission.bytes, code: code, truncated: truncated,
            records: code == 0 && !truncated && transmission.key.name != .root
                ? [(transmission.key.name.description, 1, 60, [198, 51, 100, 1])] : [])
        changed(&bytes)
        var from = ResponseOrigin(upstream: transmission.upstream, socketID: socketID, overTCP: transmission.overTCP)
        origin?(&from)
        let response = try! bytes.withUnsafeBytes { try UpstreamResponse($0) }
        return note([pending.receive(response, from: from, using: &random, now: now)])[0]
    }

    func isAnswered(_ outcome: PendingQuestions<Int>.Outcome, _ waiters: [Int]) -> Bool {
        if case .answered(_, let answer, let told) = outcome {
            return Array(told) == waiters && answer.addresses.count == 1
        }
        return false
    }

    func isIgnored(_ outcome: PendingQuestions<Int>.Outcome) -> Bool {
        if case .ignored = outcome { return true }
        return false
    }

    func failure(_ outcomes: [PendingQuestions<Int>.Outcome]) -> ResolutionFailure? {
        for case .failed(_, let failure, _) in outcomes { return failure }
        return nil
    }

    /// Lower-cases the name in a response.
    static func lowerCase(_ bytes: inout [UInt8]) {
        for index in 12..<bytes.count where (65...90).contains(bytes[index]) { bytes[index] |= 0x20 }
    }
}

@Suite struct PendingQuestionsTests {
    @Test func `what fails to leave after its question was answered harms no other question`() {
        var rig = Rig(1)
        rig.ask(1)
        let late = rig.untilSent()
        #expect(rig.sent.count == 2)
        #expect(rig.isAnswered(rig.respond(to: 0, now: late), [1]))
        // Another question has its place.
        rig.ask(2, name: "b.example", now: late)
        var random = SeededGenerator()
        for transmission in rig.sent[..<2].map(\.transmission) {
            guard case .nothing = rig.pending.failed(transmission, using: &random, now: late) else {
                Issue.record("something was done")
                continue
            }
        }
        #expect(rig.isAnswered(rig.respond(to: 2, now: late + 1), [2]))
    }

    @Test func `equal questions are asked once and all askers answered`() {
        var rig = Rig(1)
        rig.ask(1)
        #expect(rig.ask(2, now: 5) == .joined)
        #expect(rig.sent.count == 1)
        #expect(rig.isAnswered(rig.respond(to: 0, now: 9), [1, 2]))
        #expect(rig.pending.count == 0)
    }

    @Test func `questions and their askers are bounded`() {
        var rig = Rig(1)
        for waiter in 1...3 { rig.ask(waiter) }
        #expect(rig.ask(4) == .full)
        for number in 0..<3 { rig.ask(1, name: "b\(number).example") }
        #expect(rig.ask(1, name: "c.example") == .full)
        #expect(rig.pending.count == 4)
    }

    @Test func `what differs in number, name, type, upstream, socket or way from what was asked is ignored`() {
        var rig = Rig(2)
        rig.ask(1)
        #expect(rig.isIgnored(rig.respond(to: 0, now: 1) { $0[1] ^= 1 }), "number")
        #expect(rig.isIgnored(rig.respond(to: 0, now: 1) { $0[13] = UInt8(ascii: "b") }), "name")
        #expect(rig.isIgnored(rig.respond(to: 0, now: 1) { $0[24] = 28 }), "type")
        #expect(rig.isIgnored(rig.respond(to: 0, now: 1, origin: { $0.upstream = 1 })), "upstream")
        #expect(rig.isIgnored(rig.respond(to: 0, now: 1, origin: { $0.socketID += 1 })), "socket")
        #expect(rig.isIgnored(rig.respond(to: 0, now: 1, origin: { $0.overTCP = true })), "way")
        #expect(rig.pending.count == 1 && rig.sent.count == 1)
        #expect(rig.isAnswered(rig.respond(to: 0, now: 2), [1]))
        #expect(rig.isIgnored(rig.respond(to: 0, now: 3)), "a second answer")
    }

    @Test func `names go out in random case`() {
        var rig = Rig(1)
        rig.ask(1, name: "abcdefghijklmnopqrstuvwxyz.example")
        let spelled = rig.sent[0].transmission.bytes[13..<39]
        #expect(spelled.contains { $0 < 97 } && spelled.contains { $0 >= 97 })
        #expect(UpstreamResponse.lowercased(Array(spelled)) == Array("abcdefghijklmnopqrstuvwxyz".utf8))
    }

    @Test func `an answer in another case is asked again over TCP, and the right one still counts`() {
        var rig = Rig(1)
        rig.ask(1)
        guard case .transmit(let again) = rig.respond(to: 0, now: 1, changed: { $0[13] ^= 0x20 }) else {
            Issue.record("not asked again")
            return
        }
        #expect(again.overTCP)
        #expect(rig.isIgnored(rig.respond(to: 0, now: 2, changed: { $0[13] ^= 0x20 })), "one stream, not many")
        #expect(rig.isAnswered(rig.respond(to: 0, now: 3), [1]))
        #expect(rig.pending.health[0].keepsCase == true)
    }

    @Test func `a server that does not keep the case is found out over TCP and asked in lower case from then on`() {
        var rig = Rig(1)
        rig.ask(1)
        _ = rig.respond(to: 0, now: 1, changed: Rig.lowerCase)
        #expect(rig.isAnswered(rig.respond(to: 1, now: 2, changed: Rig.lowerCase), [1]))
        rig.ask(2, name: "b.example", now: 3)
        #expect(rig.sent[2].transmission.spelling == 0)
        #expect(rig.isAnswered(rig.respond(to: 2, now: 4), [2]))
    }

    @Test func `case is kept where a setting says so`() {
        var rig = Rig(1, randomisesCase: false)
        rig.ask(1)
        #expect(rig.sent[0].transmission.bytes[12...22] == queryBytes("a.example")[12...22])
    }

    @Test func `a truncated answer is asked again over TCP`() {
        var rig = Rig(1)
        rig.ask(1)
        guard case .transmit(let again) = rig.respond(to: 0, now: 1, truncated: true) else {
            Issue.record("not asked again")
            return
        }
        #expect(again.overTCP && again.upstream == 0)
        #expect(rig.isIgnored(rig.respond(to: 0, now: 2)), "the datagram has been answered")
        #expect(rig.isAnswered(rig.respond(to: 1, now: 3), [1]))
    }

    @Test func `the second upstream is asked when the first takes longer than it usually does`() {
        var rig = Rig(2)
        // Known to answer within 10 ms.
        for number in 0..<20 {
            rig.ask(1, now: UInt64(100 * number))
            #expect(rig.isAnswered(rig.respond(to: number, now: UInt64(100 * number + 10)), [1]))
        }
        rig.sent = []
        rig.ask(1, now: 5000)
        #expect(rig.sent[0].transmission.upstream == 0)
        #expect(rig.expire(5005).isEmpty)
        #expect(rig.untilSent() < 5100, "the delay comes from the measured time")
        #expect(rig.sent.map(\.transmission.upstream) == [0, 1])
        #expect(rig.isAnswered(rig.respond(to: 1, now: 5060), [1]), "the first good answer wins")
        #expect(rig.isIgnored(rig.respond(to: 0, now: 5070)))
    }

    @Test func `a failing upstream is passed over at once, and its failure is the answer only when all fail`() {
        var rig = Rig(2)
        rig.ask(1)
        guard case .transmit(let next) = rig.respond(to: 0, now: 1, code: 2) else {
            Issue.record("not passed over")
            return
        }
        #expect(next.upstream == 1)
        _ = rig.respond(to: 1, now: 2, code: 2)
        _ = rig.respond(to: 2, now: 3, code: 2)
        #expect(rig.failure([rig.respond(to: 3, now: 4, code: 2)]) == .refused)
        #expect(rig.sent.count == 4 && rig.pending.count == 0)
    }

    @Test func `each is asked twice at most, and in the end everybody fails`() {
        var rig = Rig(2, timeout: 100)
        rig.ask(1)
        var outcomes: [PendingQuestions<Int>.Outcome] = []
        for now in stride(from: UInt64(0), through: 1000, by: 10) { outcomes += rig.expire(now) }
        #expect(rig.sent.map(\.transmission.upstream) == [0, 1, 0, 1] || rig.sent.count < 4)
        #expect(rig.failure(outcomes) == .silence)
        #expect(rig.pending.count == 0)
        for now in stride(from: UInt64(1000), through: 3000, by: 10) { _ = rig.expire(now) }
        #expect(rig.pending.nextDeadline == nil, "nothing is left behind")
    }

    @Test func `a dead upstream is asked last, tried again after a pause, and comes back with an answer`() {
        var rig = Rig(2, timeout: 1000)
        var now: UInt64 = 0
        for _ in 0..<UpstreamHealth.maxMisses {
            rig.sent = []
            rig.ask(1, now: now)
            #expect(rig.sent[0].transmission.upstream == 0)
            now = rig.untilSent()
            #expect(rig.isAnswered(rig.respond(to: 1, now: now + 5), [1]))
            now += 10
        }
        rig.sent = []
        rig.ask(1, now: now)
        #expect(rig.sent[0].transmission.upstream == 1, "nobody waits for the dead one")
        #expect(rig.isAnswered(rig.respond(to: 0, now: now + 5), [1]))
        now += UpstreamHealth.firstPause + 10
        rig.sent = []
        rig.ask(1, now: now)
        rig.ask(1, name: "b.example", now: now)
        #expect(rig.sent.map(\.transmission.upstream) == [0, 1], "one question tries it")
        #expect(rig.isAnswered(rig.respond(to: 0, now: now + 5), [1]))
        rig.ask(1, name: "c.example", now: now + 6)
        #expect(rig.sent[2].transmission.upstream == 0)
    }

    @Test func `what the network refuses goes to the next upstream at once`() {
        var rig = Rig(2)
        rig.ask(1)
        var random = SeededGenerator()
        _ = rig.note(rig.pending.broke(rig.sent[0].socketID, upstream: 0, using: &random, now: 1))
        #expect(rig.sent.map(\.transmission.upstream) == [0, 1])
        _ = rig.note([rig.pending.failed(rig.sent[1].transmission, using: &random, now: 2)])
        _ = rig.note([rig.pending.failed(rig.sent[2].transmission, using: &random, now: 3)])
        #expect(rig.failure([rig.pending.failed(rig.sent[3].transmission, using: &random, now: 4)]) == .unreachable)
    }

    @Test func `a probe asks one upstream, joins no question and brings a dead upstream back`() {
        var rig = Rig(2)
        let key = CacheKey(name: .root, type: RecordType.ns)
        var random = SeededGenerator()
        let probe = rig.pending.probe(key, upstream: 1, using: &random, now: 0)!
        rig.note(probe)
        #expect(probe.upstream == 1 && rig.pending.probe(key, upstream: 1, using: &random, now: 1) == nil)
        #expect(rig.pending.probe(key, upstream: 0, using: &random, now: 1) != nil)
        _ = rig.respond(to: 0, now: 10)
        #expect(rig.pending.health[1].roundTrip != nil && rig.pending.count == 1)
        for now in stride(from: UInt64(0), through: 3000, by: 50) { #expect(rig.failure(rig.expire(now)) == nil) }
        #expect(rig.pending.count == 0 && rig.pending.health[0].misses == 1)
    }

    @Test func `an upstream over TLS is never asked by datagram`() {
        var rig = Rig(2, timeout: 100, streams: true)
        rig.ask(1)
        for now in stride(from: UInt64(0), through: 400, by: 10) { _ = rig.expire(now) }
        #expect(rig.sent.count > 1 && rig.sent.allSatisfy { $0.transmission.overTCP })
    }

    @Test func `without an upstream everybody fails at once`() {
        var rig = Rig(0)
        #expect(rig.ask(1) == .joined)
        #expect(rig.failure(rig.expire(0)) == .noUpstream)
    }

    @Test func `whatever happens in whatever order, everybody is told exactly once`() {
        var choices = SeededGenerator(state: 7)
        for round in 0..<300 {
            var rig = Rig(Int.random(in: 0...3, using: &choices), timeout: 50)
            rig.random.state = UInt64(round)
            var asked: [Int] = []
            var told: [Int] = []
            func tell(_ outcomes: [PendingQuestions<Int>.Outcome]) {
                for outcome in outcomes {
                    switch outcome {
                    case .answered(_, _, let waiters), .failed(_, _, let waiters): told += waiters
                    default: break
                    }
                }
            }
            var now: UInt64 = 0
            for step in 0..<60 {
                now += UInt64.random(in: 0...9, using: &choices)
                switch Int.random(in: 0..<6, using: &choices) {
                case 0, 1:
                    let name = "n\(Int.random(in: 0..<6, using: &choices)).example"
                    if rig.ask(step, name: name, now: now) != .full { asked.append(step) }
                case 2 where !rig.sent.isEmpty:
                    let code: UInt8 = [0, 0, 2, 3, 5].randomElement(using: &choices)!
                    let number = Int.random(in: 0..<rig.sent.count, using: &choices)
                    let truncated = Int.random(in: 0..<5, using: &choices) == 0
                    tell([rig.respond(to: number, now: now, code: code, truncated: truncated)])
                case 3 where !rig.sent.isEmpty:
                    let (transmission, socketID) = rig.sent.randomElement(using: &choices)!
                    tell(
                        rig.note(
                            rig.pending.broke(socketID, upstream: transmission.upstream, using: &choices, now: now)))
                default: tell(rig.expire(now))
                }
            }
            for _ in 0..<100 {
                now += 10
                tell(rig.expire(now))
            }
            #expect(told.sorted() == asked && rig.pending.count == 0 && rig.pending.nextDeadline == nil)
        }
    }
}

@Suite struct UpstreamHealthTests {
    @Test func `patience follows the measured time`() {
        var health = UpstreamHealth()
        #expect(health.patience(atMost: 1000) == 400 && health.patience(atMost: 100) == 100)
        for _ in 0..<50 { health.answered(after: 30) }
        #expect((30...60).contains(health.patience(atMost: 1000)))
        for _ in 0..<50 { health.answered(after: 200) }
        #expect(health.patience(atMost: 1000) >= 200)
        for _ in 0..<50 { health.answered(after: 0) }
        #expect(health.patience(atMost: 1000) == UpstreamHealth.leastPatience)
    }

    @Test func `pauses double to a bound and end with an answer`() {
        var health = UpstreamHealth()
        for now in 0..<10 as Range<UInt64> { health.missed(now: now) }
        #expect(!health.isUsable(now: 500) && health.retryAt == 2 + UpstreamHealth.firstPause)
        var pauses: [UInt64] = []
        for _ in 0..<10 {
            let now = health.retryAt
            #expect(health.isUsable(now: now))
            health.asked(now: now)
            health.missed(now: now + 10)
            pauses.append(health.retryAt - now)
        }
        #expect(pauses.first == 2000 && pauses.last == UpstreamHealth.maxPause)
        health.answered(after: nil)
        #expect(health.isUsable(now: 0) && health.misses == 0 && health.roundTrip == nil)
    }
}
