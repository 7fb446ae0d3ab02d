import NetworkPolicy
import System

// Which upstream to ask next, and when.
extension PendingQuestions {
    /// Handles questions whose time is up: asks the next upstream, or fails all waiters.
    mutating func expire(now: UInt64, using random: inout some RandomNumberGenerator) -> [Outcome] {
        var outcomes: [Outcome] = []
        while let place = timers.pop(now: now) {
            guard dues[Int(place)] <= now else { continue }
            outcomes.append(step(place, using: &random, now: now))
        }
        return outcomes
    }

    /// The next step for a question: ask another upstream, wait for those that were asked, or fail.
    mutating func step(
        _ place: Int32, using random: inout some RandomNumberGenerator, now: UInt64
    ) -> Outcome {
        for number in places[Int(place)]!.attempts.indices where places[Int(place)]!.attempts[number].isOpen {
            let attempt = places[Int(place)]!.attempts[number]
            if attempt.sent + limits.timeout <= now {
                places[Int(place)]!.attempts[number].isOpen = false
                if places[Int(place)]!.failure != .refused { places[Int(place)]!.failure = .silence }
                health[Int(attempt.upstream)].missed(now: now)
            } else {
                places[Int(place)]!.attempts[number].isMissed = true
            }
        }
        let end = places[Int(place)]!.end
        if now < end, let transmission = attempt(place, using: &random, now: now) {
            return .transmit(transmission)
        }
        let first = places[Int(place)]!.attempts.lazy.filter(\.isOpen).map(\.sent).min()
        if let first, now < end {
            wake(place, at: min(first + limits.timeout, end))
            return .nothing
        }
        let question = self.end(place)
        return question.key.pinned >= 0 ? .nothing : .failed(question.key.key, question.failure, question.waiters)
    }

    /// Asks the best upstream that may still be asked.
    mutating func attempt(
        _ place: Int32, using random: inout some RandomNumberGenerator, now: UInt64
    ) -> Transmission? {
        let pinned = places[Int(place)]!.key.pinned
        if pinned >= 0 {
            guard places[Int(place)]!.attempts.isEmpty else { return nil }
            let upstream = Int(pinned)
            return send(place, to: upstream, overTCP: upstreams[upstream].isStream, using: &random, now: now)
        }
        let most = 2
        var best: (rank: Int, upstream: Int)?
        for upstream in upstreams.indices {
            let asked = places[Int(place)]!.attempts.count {
                $0.upstream == Int32(upstream) && !($0.overTCP && !upstreams[upstream].isStream)
            }
            guard asked < most else { continue }
            // Prefer upstreams that were not asked yet, then those that are healthy.
            let rank = 2 * asked + (health[upstream].isUsable(now: now) ? 0 : 1)
            if best == nil || rank < best!.rank { best = (rank, upstream) }
        }
        guard let upstream = best?.upstream else { return nil }
        return send(place, to: upstream, overTCP: upstreams[upstream].isStream, using: &random, now: now)
    }

    mutating func send(
        _ place: Int32, to upstream: Int, overTCP: Bool, using random: inout some RandomNumberGenerator, now: UInt64
    ) -> Transmission? {
        let most = 4 * upstreams.count + 2
        guard places[Int(place)]!.attempts.count < most else { return nil }
        let number = places[Int(place)]!.attempts.count
        let attempt = Attempt(
            upstream: Int32(upstream), identifier: UInt16.random(in: 0 ... .max, using: &random), overTCP: overTCP,
            isOpen: true, spelling: health[upstream].keepsCase == false ? 0 : random.next(), sent: now)
        let wasAsked = places[Int(place)]!.attempts.contains { $0.upstream == Int32(upstream) }
        places[Int(place)]!.attempts.append(attempt)
        health[upstream].asked(now: now)
        var patience = health[upstream].patience(atMost: limits.timeout)
        // Wait longer the second time, so that repeats do not become a flood.
        if wasAsked || upstreams.count == 1 { patience = min(max(2 * patience, 400), limits.timeout) }
        wake(place, at: min(now + patience, places[Int(place)]!.end))
        return Transmission(
            key: places[Int(place)]!.key.key, upstream: upstream, identifier: attempt.identifier,
            spelling: attempt.spelling, overTCP: overTCP, place: place, attempt: Int32(number))
    }
}
