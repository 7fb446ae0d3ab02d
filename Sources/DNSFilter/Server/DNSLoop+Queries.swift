import NetworkPolicy

#if canImport(Glibc)
    import Glibc
#endif

// How a query is handled: parsed, judged, looked up in the cache, forwarded, answered.
extension DNSLoop {
    func receive(_ bytes: UnsafeRawBufferPointer, from client: Client, by way: Waiter.Way) {
        statistics.queries += 1
        switch Query.parse(bytes, reusing: &queryMemory) {
        case nil: return
        case .failure(let rejection)?: reply(by: way) { ResponseEncoder.write(rejection, into: &$0) }
        case .success(let query)?: answer(Waiter(client: client.name, way: way, query: query), client)
        }
    }

    private func answer(_ waiter: Waiter, _ client: Client) {
        let query = waiter.query
        if let answer = Localhost.answer(query) {
            return reply(answer, to: waiter)
        }
        // Read before the policy is asked, so that a change in between invalidates the approval.
        let revision = client.policy.revision
        let key = CacheKey(name: query.name, type: query.type)
        let hit = cache.find(key, now: present / 1000)
        if let hit,
            approvedAnswers.holds(client: client.name.number, serial: hit.serial, revision: revision, now: present)
        {
            statistics.cacheHits += 1
            return reply(cache.encoded(hit), to: waiter, age: hit.age)
        }
        guard judge(waiter, client) else { return }
        if let hit {
            statistics.cacheHits += 1
            let isWhole = deliver(cache.answer(hit), age: hit.age, to: waiter, client)
            if isWhole { clear(hit, waiter, client, revision) }
            return
        }
        if let refusal = client.policy.refusalUpstream(query.name, type: query.type) {
            return deny(waiter, client, refusal)
        }
        guard client.pending < configuration.pendingPerSandbox else {
            return fail(waiter, .overload, "too many queries are waiting")
        }
        var waiting = waiter.detached
        waiting.asked = present
        let question = CacheKey(name: waiting.query.name, type: key.type)
        switch pending.ask(question, for: waiting, using: &random, now: present) {
        case .full: fail(waiter, .overload, "too many queries are waiting")
        case .joined: client.pending += 1
        case .transmit(let transmission):
            client.pending += 1
            transmit(transmission)
        }
    }

    /// Whether the policy allows the query. If not, the refusal is sent here.
    private func judge(_ waiter: Waiter, _ client: Client) -> Bool {
        let query = waiter.query
        if let refusal = client.policy.refusal(query.name, type: query.type) {
            deny(waiter, client, refusal)
            return false
        }
        guard RecordType.isForwarded(query.type) else {
            client.policy.record(DNSEvent(name: query.name, type: query.type, outcome: .typeRefused))
            let isBinding = query.type == RecordType.https || query.type == RecordType.svcb
            reply(
                EncodedAnswer(code: isBinding ? .noError : .notImplemented), to: waiter,
                error: isBinding ? nil : .blocked("policy: type not forwarded"))
            return false
        }
        return true
    }

    /// Approves the answer for this sandbox, so that it can be repeated.
    private func clear(_ hit: AnswerCache.Hit, _ waiter: Waiter, _ client: Client, _ revision: UInt64) {
        let time = client.policy.validSeconds(
            of: cache.answer(hit).addresses(after: hit.age), for: waiter.query.name)
        guard time > 0 else { return }
        approvedAnswers.grant(
            client: client.name.number, serial: hit.serial, revision: revision, until: present + 1000 * UInt64(time))
    }

    private func deny(_ waiter: Waiter, _ client: Client, _ verdict: Verdict) {
        let query = waiter.query
        statistics.denied += 1
        client.policy.record(DNSEvent(name: query.name, type: query.type, outcome: .denied(verdict)))
        // A temporary denial must not be cached as "no such name".
        let isRefused = configuration.refusal == .refused || verdict.isTemporary
        reply(EncodedAnswer(code: isRefused ? .refused : .nameError), to: waiter, error: .blocked(by: verdict))
    }

    /// Sends an answer without the addresses that this sandbox may not have, once the others are open in the kernel.
    /// - Returns: whether it was sent in full.
    @discardableResult
    func deliver(_ answer: Answer, age: UInt32, to waiter: Waiter, _ client: Client) -> Bool {
        let query = waiter.query, policy = client.policy
        guard answer.code != .serverFailure else {
            fail(waiter, .upstreamError, "no upstream gave an answer a moment ago", .cached)
            return false
        }
        let told = answer.filtered { policy.permits($0, for: query.name) }
        learning.removeAll(keepingCapacity: true)
        told.write(after: age, to: &learning)
        switch learning.isEmpty ? .opened : policy.learn(learning, for: query.name) {
        case .opened: break
        case .withheld:
            fail(waiter, .notLearned, "the kernel did not take the addresses")
            return false
        case .later:
            hold(answer, age: age, for: waiter, client)
            return false
        }
        let removed = answer.addressCount - learning.count
        policy.record(
            DNSEvent(
                name: query.name, type: query.type, outcome: .answered(addresses: learning.count, removed: removed),
                forwardTime: forwardTime(of: waiter), aliases: answer.aliases,
                removed: removed > 0 ? answer.removed(in: told) : []))
        reply(told, to: waiter, age: age)
        return removed == 0
    }

    private func forwardTime(of waiter: Waiter) -> UInt64? { waiter.asked.map { present - $0 } }

    func fail(_ waiter: Waiter, _ failure: DNSFailure, _ reason: String, _ error: ExtendedError? = nil) {
        statistics.failures += 1
        clients[waiter.client]?.policy.record(
            DNSEvent(
                name: waiter.query.name, type: waiter.query.type, outcome: .failed(failure, reason),
                forwardTime: forwardTime(of: waiter)))
        reply(EncodedAnswer(code: .serverFailure), to: waiter, error: error)
    }

    private func reply(
        _ answer: some WritableAnswer, to waiter: Waiter, age: UInt32 = 0,
        error: @autoclosure () -> ExtendedError? = nil
    ) {
        reply(by: waiter.way) {
            ResponseEncoder.write(
                answer, to: waiter.query, elapsed: age, limit: waiter.maxAnswer, error: error(), into: &$0)
        }
    }

    func expire() {
        tryHeld()
        for outcome in pending.expire(now: present, using: &random) { settle(outcome) }
        probe(present)
        closeIdleStreams(present)
    }

    func settle(_ outcome: PendingQuestions<Waiter>.Outcome) {
        switch outcome {
        case .ignored, .nothing: return
        case .transmit(let transmission): transmit(transmission)
        case .answered(let key, let answer, let waiters):
            cache.store(answer, for: key, now: present / 1000)
            for waiter in waiters {
                guard let client = clients[waiter.client] else { continue }
                client.pending -= 1
                deliver(answer, age: 0, to: waiter, client)
            }
        case .failed(let key, let failure, let waiters):
            cache.store(.serverFailure, for: key, now: present / 1000)
            let (kind, reason, error) = explain(failure)
            for waiter in waiters {
                clients[waiter.client]?.pending -= 1
                fail(waiter, kind, reason, error)
            }
        }
    }

    private func explain(_ failure: ResolutionFailure) -> (DNSFailure, String, ExtendedError?) {
        let troubles = links.compactMap(\.trouble).joined(separator: "; ")
        let details = troubles.isEmpty ? "" : " (\(troubles))"
        return switch failure {
        case .silence: (.upstreamError, "no upstream answered in time" + details, .noReachableUpstream)
        case .unreachable: (.upstreamError, "the upstreams cannot be reached" + details, .networkError)
        case .refused: (.code, "no upstream gave an answer" + details, nil)
        case .noUpstream: (.noUpstreams, "there is no upstream", .noReachableUpstream)
        }
    }
}

/// Names that mean this host are answered here with loopback and never forwarded (RFC 6761, section 6.3).
enum Localhost {
    private static let zone = try! DomainName("localhost")

    static func answer(_ query: Query) -> Answer? {
        guard query.name == zone || query.name.isSubdomain(of: zone) else { return nil }
        let data: [UInt8]
        switch query.type {
        case RecordType.a: data = [127, 0, 0, 1]
        case RecordType.aaaa: data = [UInt8](repeating: 0, count: 15) + [1]
        default: return .empty
        }
        var answer = Answer.empty
        answer.records = [ResourceRecord(owner: query.name.wire, type: query.type, ttl: 86400, data: data)]
        return answer
    }
}
