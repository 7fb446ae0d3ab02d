import NetworkPolicy

/// The questions that upstreams have been asked and not answered yet. Equal questions of several askers are asked once.
/// A value: time and randomness come in, what to send comes out.
struct PendingQuestions<Waiter: Sendable>: Sendable {
    /// A query to send to an upstream; over TCP when its answer did not fit a datagram.
    struct Transmission: Hashable, Sendable {
        var key: CacheKey
        var upstream: Int
        var identifier: UInt16
        var overTCP: Bool

        var bytes: [UInt8] { Query.forwardedBytes(name: key.name, type: key.type, identifier: identifier) }
    }

    enum Outcome: Sendable {
        /// Not an answer to anything that was asked.
        case ignored
        case transmit(Transmission)
        case answered(CacheKey, Answer, [Waiter])
    }

    private struct Question {
        var waiters: [Waiter]
        var transmission: Transmission
        var deadline: UInt64
        /// Upstreams still to be asked after this one.
        var retries: Int
    }

    let upstreamCount: Int
    let timeout: UInt64
    private var questions: [CacheKey: Question] = [:]
    /// In the order of their deadlines, since every deadline is as far away as any other when it is set.
    private var deadlines: [(key: CacheKey, at: UInt64)] = []
    private var head = 0

    /// - Parameter timeout: milliseconds for each attempt.
    init(upstreamCount: Int, timeout: UInt64) {
        self.upstreamCount = upstreamCount
        self.timeout = timeout
    }

    var count: Int { questions.count }

    /// Adds an asker.
    /// - Returns: what to send, or nil when the question is on its way already or there is no upstream (`answered` later).
    mutating func ask(_ key: CacheKey, for waiter: Waiter, identifier: UInt16, now: UInt64) -> Transmission? {
        if questions[key] != nil {
            questions[key]!.waiters.append(waiter)
            return nil
        }
        let transmission = Transmission(key: key, upstream: 0, identifier: identifier, overTCP: false)
        // Each upstream twice: one lost datagram is no failure.
        questions[key] = Question(
            waiters: [waiter], transmission: transmission, deadline: now + timeout,
            retries: max(2 * upstreamCount - 1, 0))
        deadlines.append((key, now + timeout))
        return upstreamCount > 0 ? transmission : nil
    }

    /// Takes a response that came from `upstream`. It must answer what that upstream was asked: number, name and type.
    mutating func receive(_ response: UpstreamResponse, from upstream: Int, overTCP: Bool, now: UInt64) -> Outcome {
        guard let name = try? DomainName(wire: response.questionName) else { return .ignored }
        let key = CacheKey(name: name, type: response.questionType)
        guard let question = questions[key], question.transmission.upstream == upstream,
            question.transmission.identifier == response.identifier, question.transmission.overTCP == overTCP
        else { return .ignored }
        if response.isTruncated {
            guard !overTCP else { return .ignored }
            var transmission = question.transmission
            transmission.overTCP = true
            return .transmit(again(key, transmission, now))
        }
        let answer = Answer(response, name: name, type: key.type)
        // A server that cannot say is not the last word while there are others.
        if answer.code == .serverFailure, let next = next(after: question) { return .transmit(again(key, next, now)) }
        questions[key] = nil
        return .answered(key, answer, question.waiters)
    }

    /// What has waited too long: the next upstream is asked, or everybody gets a failure.
    mutating func expire(now: UInt64) -> [Outcome] {
        var outcomes: [Outcome] = []
        while head < deadlines.count, deadlines[head].at <= now {
            let key = deadlines[head].key
            head += 1
            guard let question = questions[key], question.deadline <= now else { continue }
            if let next = next(after: question) {
                outcomes.append(.transmit(again(key, next, now)))
            } else {
                questions[key] = nil
                outcomes.append(.answered(key, .serverFailure, question.waiters))
            }
        }
        if head > 1024, head > deadlines.count / 2 {
            deadlines.removeFirst(head)
            head = 0
        }
        return outcomes
    }

    /// When `expire` has work; nil when nothing waits.
    var nextDeadline: UInt64? { head < deadlines.count ? deadlines[head].at : nil }

    /// Forgets askers that are gone. The question goes on: its answer is worth caching.
    mutating func removeWaiters(where isGone: (Waiter) -> Bool) {
        for key in questions.keys { questions[key]!.waiters.removeAll(where: isGone) }
    }

    private func next(after question: Question) -> Transmission? {
        guard question.retries > 0 else { return nil }
        var transmission = question.transmission
        transmission.upstream = (transmission.upstream + 1) % upstreamCount
        transmission.overTCP = false
        return transmission
    }

    private mutating func again(_ key: CacheKey, _ transmission: Transmission, _ now: UInt64) -> Transmission {
        questions[key]!.retries -= 1
        questions[key]!.transmission = transmission
        questions[key]!.deadline = now + timeout
        deadlines.append((key, now + timeout))
        return transmission
    }
}
