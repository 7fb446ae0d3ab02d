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
        case answered(CacheKey, Answer, FirstInline<Waiter>)
        case failed(CacheKey, ResolutionFailure, FirstInline<Waiter>)
    }

    enum Admission: Hashable, Sendable {
        case transmit(Transmission)
        /// It is on its way already, or fails at once (`expire` tells).
        case joined
        /// Too many questions, or too many askers of this one.
        case full
    }

    /// A probe is pinned to the one upstream that it is about.
    struct Key: Hashable {
        var key: CacheKey
        var pinned: Int32 = -1
    }

    struct Question {
        var key: Key
        var waiters = FirstInline<Waiter>()
        var attempts = FirstInline<Attempt>()
        /// When the last attempt's time is up, whatever happens.
        var end: UInt64
        var failure = ResolutionFailure.silence
    }

    let limits: PendingLimits
    let upstreams: [UpstreamTraits]
    var health: [UpstreamHealth]
    var places: [Question?] = []
    /// By place: when to ask the next one, or to give up; nobody is to look at a whole question for that.
    var dues: [UInt64] = []
    var free: [Int32] = []
    var index: [Key: Int32] = [:]
    var timers = TimerHeap()

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

    /// Adds an asker. `random` gives number and spelling; the caller tells by `sent` on which socket a transmission went.
    mutating func ask(
        _ key: CacheKey, for waiter: Waiter, using random: inout some RandomNumberGenerator, now: UInt64
    ) -> Admission {
        if let place = index[Key(key: key)] {
            guard places[Int(place)]!.waiters.count < limits.maxWaiters else { return .full }
            places[Int(place)]!.waiters.append(waiter)
            return .joined
        }
        guard index.count < limits.maxQuestions else { return .full }
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
    mutating func sent(_ transmission: Transmission, by socketID: UInt64) {
        places[Int(transmission.place)]?.attempts[Int(transmission.attempt)].socketID = socketID
    }

    /// Forgets askers that are gone. The question goes on: its answer is worth caching.
    mutating func removeWaiters(where isGone: (Waiter) -> Bool) {
        for place in index.values { places[Int(place)]!.waiters.removeAll(where: isGone) }
    }
}

// Where questions stand.
extension PendingQuestions {
    mutating func begin(_ key: Key, _ now: UInt64) -> Int32 {
        let end = now + (key.pinned >= 0 ? 1 : 2) * limits.timeout
        let question = Question(key: key, end: end)
        let place: Int32
        if let known = free.popLast() {
            place = known
            places[Int(place)] = question
        } else {
            place = Int32(places.count)
            places.append(question)
            dues.append(end)
        }
        dues[Int(place)] = end
        index[key] = place
        return place
    }

    /// Takes a question out.
    mutating func end(_ place: Int32) -> Question {
        let question = places[Int(place)].take()!
        index[question.key] = nil
        dues[Int(place)] = .max
        free.append(place)
        return question
    }

    mutating func wake(_ place: Int32, at time: UInt64) {
        dues[Int(place)] = time
        timers.insert(time, place)
    }
}
