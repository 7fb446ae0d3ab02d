import NetworkPolicy

// Responses and errors from upstreams.
extension PendingQuestions {
    /// Handles a response. It must match what was asked: upstream, socket, id, name with its letter case, and type.
    mutating func receive(
        _ response: UpstreamResponse, from origin: ResponseOrigin, using random: inout some RandomNumberGenerator,
        now: UInt64
    ) -> Outcome {
        guard let name = response.canonicalName else { return .ignored }
        let key = CacheKey(name: name, type: response.questionType)
        guard
            let (place, number) = attempt(Key(key: key), response, origin)
                ?? attempt(Key(key: key, pinned: Int32(origin.upstream)), response, origin)
        else { return .ignored }
        return take(response, name, place, number, using: &random, now: now)
    }

    /// The attempt that a response belongs to.
    private func attempt(
        _ key: Key, _ response: UpstreamResponse, _ origin: ResponseOrigin
    ) -> (place: Int32, number: Int)? {
        guard let place = index[key],
            let number = places[Int(place)]!.attempts.firstIndex(where: { $0.answers(response, origin) })
        else { return nil }
        return (place, number)
    }

    private mutating func take(
        _ response: UpstreamResponse, _ name: DomainName, _ place: Int32, _ number: Int,
        using random: inout some RandomNumberGenerator, now: UInt64
    ) -> Outcome {
        let attempt = places[Int(place)]!.attempts[number]
        let upstream = Int(attempt.upstream)
        let keepsCase = QuestionSpelling.matches(
            response.questionName, canonical: name.wire, attempt.spelling)
        if !keepsCase, !attempt.overTCP {
            // Either a forgery or a server that does not keep the case. Asking over a stream tells; the right datagram
            // may still arrive.
            guard
                !places[Int(place)]!.attempts.contains(where: {
                    $0.isOpen && $0.overTCP && $0.upstream == attempt.upstream
                })
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
        // The time of a connection that was opened for this answer says nothing about datagrams.
        let time = attempt.overTCP && !upstreams[upstream].isStream ? nil : now - attempt.sent
        let answer = Answer(response, name: name, type: response.questionType)
        if answer.code == .serverFailure {
            places[Int(place)]!.attempts[number].isOpen = false
            places[Int(place)]!.failure = .refused
            // It is alive, but useless if it refuses everything while others answer.
            if response.code == ResponseCode.serverFailure.rawValue {
                health[upstream].answered(after: time)
            } else {
                health[upstream].missed(now: now)
            }
            return step(place, using: &random, now: now)
        }
        health[upstream].answered(after: time)
        let question = end(place)
        for other in question.attempts where other.isOpen && other.isMissed && other.upstream != attempt.upstream {
            health[Int(other.upstream)].missed(now: now)
        }
        return question.key.pinned >= 0 ? .nothing : .answered(question.key.key, answer, question.waiters)
    }

    /// A socket failed (an ICMP error, or a connection that could not be made or broke). Its questions go to the next
    /// upstream at once.
    mutating func broke(
        _ socketID: UInt64, upstream: Int, using random: inout some RandomNumberGenerator, now: UInt64
    ) -> [Outcome] {
        var outcomes: [Outcome] = []
        var isMissed = false
        for place in Int32(0)..<Int32(places.count) {
            guard
                let number = places[Int(place)]?.attempts.firstIndex(where: {
                    $0.isOpen && $0.socketID == socketID && $0.upstream == Int32(upstream)
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

    /// A query could not be sent.
    mutating func failed(
        _ transmission: Transmission, using random: inout some RandomNumberGenerator, now: UInt64
    ) -> Outcome {
        // An earlier attempt may have been answered in the meantime.
        guard let question = places[Int(transmission.place)], question.key.key == transmission.key,
            question.attempts.indices.contains(Int(transmission.attempt)),
            question.attempts[Int(transmission.attempt)].identifier == transmission.identifier
        else { return .nothing }
        places[Int(transmission.place)]!.attempts[Int(transmission.attempt)].isOpen = false
        places[Int(transmission.place)]!.failure = .unreachable
        health[transmission.upstream].missed(now: now)
        return step(transmission.place, using: &random, now: now)
    }
}

extension Attempt {
    fileprivate func answers(_ response: UpstreamResponse, _ origin: ResponseOrigin) -> Bool {
        isOpen && identifier == response.identifier && upstream == Int32(origin.upstream) && socketID == origin.socketID
            && overTCP == origin.overTCP
    }
}
