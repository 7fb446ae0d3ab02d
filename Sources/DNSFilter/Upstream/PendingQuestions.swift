import NetworkPolicy

/// The questions that upstreams have been asked and not answered yet. Equal questions of several askers are asked once.
/// A value: time (milliseconds) and randomness come in, what to send comes out.
///
/// Upstreams are asked in their order, without those that are passed over (`UpstreamHealth`). When an answer takes longer
/// than that upstream's usually do, the next one is asked, too, and the first good answer wins. Each is asked twice at
/// most: one lost datagram is no failure.
struct PendingQuestions<Waiter: Sendable>: Sendable {
    enum Outcome: Sendable {
        /// Not an answer to anything that was asked.
        case ignored
        /// Nothing to do now.
        case nothing
        case transmit(Transmission)
        case answered(CacheKey, Answer, [Waiter])
        case failed(CacheKey, ResolutionFailure, [Waiter])
    }

    enum Admission: Hashable, Sendable {
        case transmit(Transmission)
        /// It is on its way already, or fails at once (`expire` tells).
        case joined
        /// Too many questions, or too many askers of this one.
        case full
    }

    /// A probe is pinned to the one upstream that it is about.
    private struct Key: Hashable {
        var key: CacheKey
        var pinned: Int32 = -1
    }

    private struct Question {
        var key: Key
        var waiters: [Waiter] = []
        var attempts: [Attempt] = []
        /// When to ask the next one, or to give up.
        var due: UInt64
        /// When the last attempt's time is up, whatever happens.
        var end: UInt64
        var failure = ResolutionFailure.silence
    }

    let limits: PendingLimits
    private let upstreams: [UpstreamTraits]
    private(set) var health: [UpstreamHealth]
    private var places: [Question?] = []
    private var free: [Int32] = []
    private var index: [Key: Int32] = [:]
    private var timers = TimerHeap()

    init(upstreams: [UpstreamTraits], limits: PendingLimits, randomisesCase: Bool = true) {
        self.upstreams = upstreams
        self.limits = limits
        health = upstreams.map { _ in
            var health = UpstreamHealth()
            if !randomisesCase { health.keepsCase = false }
            return health
        }
    }

    var count: Int { index.count }

    /// When `expire` has work; nil when nothing waits.
    var nextDeadline: UInt64? { timers.first }

    // MARK: Asking

    /// Adds an asker. `random` gives number and spelling; the caller tells by `sent` by which road a transmission went.
    mutating func ask(
        _ key: CacheKey, for waiter: Waiter, using random: inout some RandomNumberGenerator, now: UInt64
    ) -> Admission {
        if let place = index[Key(key: key)] {
            guard places[Int(place)]!.waiters.count < limits.mostWaiters else { return .full }
            places[Int(place)]!.waiters.append(waiter)
            return .joined
        }
        guard index.count < limits.mostQuestions else { return .full }
        let place = begin(Key(key: key), now)
        places[Int(place)]!.waiters.append(waiter)
        guard let transmission = attempt(place, using: &random, now: now) else {
            places[Int(place)]!.failure = .noUpstream
            wake(place, at: now)
            return .joined
        }
        return .transmit(transmission)
    }

    /// Asks one upstream for its health's sake. nil while it is being asked.
    mutating func probe(
        _ key: CacheKey, upstream: Int, using random: inout some RandomNumberGenerator, now: UInt64
    ) -> Transmission? {
        let key = Key(key: key, pinned: Int32(upstream))
        guard index[key] == nil else { return nil }
        return attempt(begin(key, now), using: &random, now: now)
    }

    /// The transmission went out by this socket or stream.
    mutating func sent(_ transmission: Transmission, by road: UInt64) {
        places[Int(transmission.place)]?.attempts[Int(transmission.attempt)].road = road
    }

    /// Forgets askers that are gone. The question goes on: its answer is worth caching.
    mutating func removeWaiters(where isGone: (Waiter) -> Bool) {
        for place in index.values { places[Int(place)]!.waiters.removeAll(where: isGone) }
    }

    // MARK: Hearing

    /// Takes a response. It must agree with what was asked: upstream, socket, number, name with its case, and type.
    mutating func receive(
        _ response: UpstreamResponse, from origin: ResponseOrigin, using random: inout some RandomNumberGenerator,
        now: UInt64
    ) -> Outcome {
        guard let name = response.canonicalName else { return .ignored }
        let key = CacheKey(name: name, type: response.questionType)
        for pinned in [-1, Int32(origin.upstream)] {
            guard let place = index[Key(key: key, pinned: pinned)],
                let number = places[Int(place)]!.attempts.firstIndex(where: { $0.answers(response, origin) })
            else { continue }
            return take(response, name, place, number, using: &random, now: now)
        }
        return .ignored
    }

    private mutating func take(
        _ response: UpstreamResponse, _ name: DomainName, _ place: Int32, _ number: Int,
        using random: inout some RandomNumberGenerator, now: UInt64
    ) -> Outcome {
        let question = places[Int(place)]!
        let attempt = question.attempts[number]
        let upstream = Int(attempt.upstream)
        let keepsCase = QuestionSpelling.matches(
            response.questionName, canonical: name.wire, attempt.spelling)
        if !keepsCase, !attempt.overTCP {
            // A forgery, or a server that does not keep the case: a stream tells. The datagram may still come right.
            guard !question.attempts.contains(where: { $0.isOpen && $0.overTCP && $0.upstream == attempt.upstream })
            else { return .ignored }
            return send(place, to: upstream, overTCP: true, using: &random, now: now).map { .transmit($0) } ?? .ignored
        }
        if attempt.overTCP, !keepsCase { health[upstream].keepsCase = false }
        if keepsCase, attempt.spelling != 0, health[upstream].keepsCase == nil { health[upstream].keepsCase = true }
        if response.isTruncated {
            guard !attempt.overTCP else { return .ignored }
            health[upstream].answered(after: now - attempt.sent)
            places[Int(place)]!.attempts[number].isOpen = false
            return send(place, to: upstream, overTCP: true, using: &random, now: now).map { .transmit($0) }
                ?? step(place, using: &random, now: now)
        }
        // A connection that was opened for one answer says nothing about datagrams.
        let time = attempt.overTCP && !upstreams[upstream].isStream ? nil : now - attempt.sent
        let answer = Answer(response, name: name, type: question.key.key.type)
        if answer.code == .serverFailure {
            places[Int(place)]!.attempts[number].isOpen = false
            places[Int(place)]!.failure = .refused
            // It is alive, but one that refuses everything is of no use while there are others.
            if response.code == ResponseCode.serverFailure.rawValue {
                health[upstream].answered(after: time)
            } else {
                health[upstream].missed(now: now)
            }
            return step(place, using: &random, now: now)
        }
        health[upstream].answered(after: time)
        for other in question.attempts where other.isOpen && other.isMissed && other.upstream != attempt.upstream {
            health[Int(other.upstream)].missed(now: now)
        }
        end(place)
        return question.key.pinned >= 0 ? .nothing : .answered(question.key.key, answer, question.waiters)
    }

    /// The network refused what went out by this road (ICMP, a connection that failed or broke). What waited on it goes to
    /// the next upstream at once.
    mutating func broke(
        _ road: UInt64, upstream: Int, using random: inout some RandomNumberGenerator, now: UInt64
    ) -> [Outcome] {
        var outcomes: [Outcome] = []
        var isMissed = false
        for place in Array(index.values) {
            guard
                let number = places[Int(place)]!.attempts.firstIndex(where: {
                    $0.isOpen && $0.road == road && $0.upstream == Int32(upstream)
                })
            else { continue }
            places[Int(place)]!.attempts[number].isOpen = false
            places[Int(place)]!.failure = .unreachable
            if !isMissed { health[upstream].missed(now: now) }
            isMissed = true
            outcomes.append(step(place, using: &random, now: now))
        }
        return outcomes
    }

    /// A transmission could not go out at all.
    mutating func failed(
        _ transmission: Transmission, using random: inout some RandomNumberGenerator, now: UInt64
    ) -> Outcome {
        guard places[Int(transmission.place)] != nil else { return .nothing }
        places[Int(transmission.place)]!.attempts[Int(transmission.attempt)].isOpen = false
        places[Int(transmission.place)]!.failure = .unreachable
        health[transmission.upstream].missed(now: now)
        return step(transmission.place, using: &random, now: now)
    }

    // MARK: Time

    /// What has waited too long: the next upstream is asked, or everybody fails.
    mutating func expire(now: UInt64, using random: inout some RandomNumberGenerator) -> [Outcome] {
        var outcomes: [Outcome] = []
        while let place = timers.pop(now: now) {
            guard let question = places[Int(place)], question.due <= now else { continue }
            outcomes.append(step(place, using: &random, now: now))
        }
        return outcomes
    }

    /// The next thing to do for a question: ask another one, wait for those that were asked, or fail.
    private mutating func step(
        _ place: Int32, using random: inout some RandomNumberGenerator, now: UInt64
    ) -> Outcome {
        let question = places[Int(place)]!
        for number in question.attempts.indices where question.attempts[number].isOpen {
            if question.attempts[number].sent + limits.timeout <= now {
                places[Int(place)]!.attempts[number].isOpen = false
                if places[Int(place)]!.failure != .refused { places[Int(place)]!.failure = .silence }
                health[Int(question.attempts[number].upstream)].missed(now: now)
            } else {
                places[Int(place)]!.attempts[number].isMissed = true
            }
        }
        if now < question.end, let transmission = attempt(place, using: &random, now: now) {
            return .transmit(transmission)
        }
        let ends = places[Int(place)]!.attempts.filter(\.isOpen).map { $0.sent + limits.timeout }
        if let next = ends.min(), now < question.end {
            wake(place, at: min(next, question.end))
            return .nothing
        }
        let failure = places[Int(place)]!.failure
        end(place)
        return question.key.pinned >= 0 ? .nothing : .failed(question.key.key, failure, question.waiters)
    }

    /// Asks the best upstream that has not been asked often enough.
    private mutating func attempt(
        _ place: Int32, using random: inout some RandomNumberGenerator, now: UInt64
    ) -> Transmission? {
        let question = places[Int(place)]!
        if question.key.pinned >= 0 {
            guard question.attempts.isEmpty else { return nil }
            let upstream = Int(question.key.pinned)
            return send(place, to: upstream, overTCP: upstreams[upstream].isStream, using: &random, now: now)
        }
        let most = 2
        var best: (rank: Int, upstream: Int)?
        for upstream in upstreams.indices {
            let asked = question.attempts.count {
                $0.upstream == Int32(upstream) && !($0.overTCP && !upstreams[upstream].isStream)
            }
            guard asked < most else { continue }
            // Those that were not asked before those that were, and those that answer before those that do not.
            let rank = 2 * asked + (health[upstream].isUsable(now: now) ? 0 : 1)
            if best == nil || rank < best!.rank { best = (rank, upstream) }
        }
        guard let upstream = best?.upstream else { return nil }
        return send(place, to: upstream, overTCP: upstreams[upstream].isStream, using: &random, now: now)
    }

    private mutating func send(
        _ place: Int32, to upstream: Int, overTCP: Bool, using random: inout some RandomNumberGenerator, now: UInt64
    ) -> Transmission? {
        let most = 4 * upstreams.count + 2
        guard places[Int(place)]!.attempts.count < most else { return nil }
        let number = places[Int(place)]!.attempts.count
        let attempt = Attempt(
            upstream: Int32(upstream), identifier: UInt16.random(in: 0 ... .max, using: &random), overTCP: overTCP,
            isOpen: true, spelling: health[upstream].keepsCase == false ? 0 : random.next(), sent: now)
        places[Int(place)]!.attempts.append(attempt)
        health[upstream].asked(now: now)
        let wasAsked = places[Int(place)]!.attempts.dropLast().contains { $0.upstream == Int32(upstream) }
        var patience = health[upstream].patience(atMost: limits.timeout)
        // Waiting longer for one's second answer: repeating must not become a flood.
        if wasAsked || upstreams.count == 1 { patience = min(max(2 * patience, 400), limits.timeout) }
        wake(place, at: min(now + patience, places[Int(place)]!.end))
        return Transmission(
            key: places[Int(place)]!.key.key, upstream: upstream, identifier: attempt.identifier,
            spelling: attempt.spelling, overTCP: overTCP, place: place, attempt: Int32(number))
    }

    // MARK: Places

    private mutating func begin(_ key: Key, _ now: UInt64) -> Int32 {
        let end = now + (key.pinned >= 0 ? 1 : 2) * limits.timeout
        let question = Question(key: key, due: end, end: end)
        let place: Int32
        if let known = free.popLast() {
            place = known
            places[Int(place)] = question
        } else {
            place = Int32(places.count)
            places.append(question)
        }
        index[key] = place
        return place
    }

    private mutating func end(_ place: Int32) {
        guard let key = places[Int(place)]?.key else { return }
        index[key] = nil
        places[Int(place)] = nil
        free.append(place)
    }

    private mutating func wake(_ place: Int32, at time: UInt64) {
        places[Int(place)]!.due = time
        timers.insert(time, place)
    }
}

extension Attempt {
    fileprivate func answers(_ response: UpstreamResponse, _ origin: ResponseOrigin) -> Bool {
        isOpen && identifier == response.identifier && upstream == Int32(origin.upstream) && road == origin.road
            && overTCP == origin.overTCP
    }
}
