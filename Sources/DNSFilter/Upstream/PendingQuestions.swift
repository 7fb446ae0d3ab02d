import NetworkPolicy
import System

/// Questions that upstreams have not answered yet. Equal questions of several waiters are sent once. A value without
/// I/O: time (milliseconds) and randomness go in, queries to send come out.
///
/// Upstreams are asked in order, except those that are passed over (`UpstreamHealth`). When an answer takes longer than
/// usual for that upstream, the next one is asked as well, and the first good answer wins. Each is asked at most twice,
/// since one lost datagram is not a failure.
struct PendingQuestions<Waiter: Sendable>: Sendable {
    enum Outcome: Sendable {
        /// It matches no open question.
        case ignored
        /// Nothing to do for now.
        case nothing
        case transmit(Transmission)
        case answered(CacheKey, Answer, FirstInline<Waiter>)
        case failed(CacheKey, ResolutionFailure, FirstInline<Waiter>)
    }

    enum Admission: Hashable, Sendable {
        case transmit(Transmission)
        /// It is being asked already, or fails at once (see `expire`).
        case joined
        /// Too many questions, or too many waiters for this one.
        case full
    }

    /// A probe names the one upstream that it tests.
    struct Key: Hashable {
        var key: CacheKey
        var pinned: Int32 = -1
    }

    struct Question {
        var key: Key
        var waiters = FirstInline<Waiter>()
        var attempts = FirstInline<Attempt>()
        /// When the question fails at the latest.
        var end: UInt64
        var failure = ResolutionFailure.silence
    }

    let limits: PendingLimits
    let upstreams: [UpstreamTraits]
    var health: [UpstreamHealth]
    var places: [Question?] = []
    /// For each index, when to ask the next upstream or give up. Kept apart, so that timers need not touch whole
    /// questions.
    var dues: [UInt64] = []
    var free: [Int32] = []
    var index: [Key: Int32] = [:]
    var timers = TimerHeap<Int32>()

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

    /// When `expire` has work next; nil if nothing waits.
    var nextDeadline: UInt64? { timers.first }

    /// Adds a waiter. `random` gives id and letter case. After sending a transmission the caller calls `sent` with its
    /// socket.
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

    /// Probes one upstream; nil while a probe of it is under way.
    mutating func probe(
        _ key: CacheKey, upstream: Int, using random: inout some RandomNumberGenerator, now: UInt64
    ) -> Transmission? {
        let key = Key(key: key, pinned: Int32(upstream))
        guard index[key] == nil else { return nil }
        return attempt(begin(key, now), using: &random, now: now)
    }

    /// Records the socket or stream that a transmission was sent through.
    mutating func sent(_ transmission: Transmission, by socketID: UInt64) {
        places[Int(transmission.place)]?.attempts[Int(transmission.attempt)].socketID = socketID
    }

    /// Removes waiters that are gone. Their questions go on, since the answers are worth caching.
    mutating func removeWaiters(where isGone: (Waiter) -> Bool) {
        for place in index.values { places[Int(place)]!.waiters.removeAll(where: isGone) }
    }
}

// Storage of questions by index.
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

    /// Removes a question.
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
