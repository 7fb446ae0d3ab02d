import NetworkPolicy

#if canImport(Glibc)
    import Glibc
#endif

// The life of a query: read, judged, looked up, asked, answered.
extension DNSLoop {
    func receive(_ bytes: UnsafeRawBufferPointer, from client: DNSClient, by way: Waiter.Way) {
        statistics.queries += 1
        switch Query.parse(bytes) {
        case nil: return
        case .failure(let rejection)?: reply(ResponseEncoder.encode(rejection), by: way)
        case .success(let query)?: judge(Waiter(client: client, way: way, query: query))
        }
    }

    private func judge(_ waiter: Waiter) {
        guard let client = clients[waiter.client] else { return }
        let query = waiter.query
        if let answer = Localhost.answer(query) {
            return reply(ResponseEncoder.encode(answer, to: query), by: waiter.way)
        }
        let verdict = client.policy.verdict(query.name, type: query.type)
        guard verdict.isAllowed else { return deny(waiter, verdict) }
        guard RecordType.forwarded.contains(query.type) else {
            client.policy.record(DNSEvent(name: query.name, type: query.type, outcome: .typeRefused))
            let isBinding = query.type == RecordType.https || query.type == RecordType.svcb
            let answer = Answer(code: isBinding ? .noError : .notImplemented)
            reply(
                ResponseEncoder.encode(
                    answer, to: query, error: isBinding ? nil : .blocked("policy: type not forwarded")),
                by: waiter.way)
            return
        }
        let key = CacheKey(name: query.name, type: query.type)
        if let (answer, age) = cache.answer(key, now: now() / 1000) {
            statistics.cacheHits += 1
            deliver(answer, age: age, to: waiter)
            return
        }
        if let refusal = client.policy.refusalUpstream(query.name, type: query.type) { return deny(waiter, refusal) }
        guard client.pending < configuration.pendingPerSandbox else {
            fail(waiter, "too many queries are waiting")
            return
        }
        switch pending.ask(key, for: waiter, using: &random, now: now()) {
        case .full: fail(waiter, "too many queries are waiting")
        case .joined: clients[waiter.client]!.pending += 1
        case .transmit(let transmission):
            clients[waiter.client]!.pending += 1
            transmit(transmission)
        }
    }

    private func deny(_ waiter: Waiter, _ verdict: Verdict) {
        let query = waiter.query
        statistics.denied += 1
        clients[waiter.client]?.policy.record(
            DNSEvent(name: query.name, type: query.type, outcome: .denied(verdict)))
        // Nobody is to remember that the name does not exist when a moment later it does.
        let isRefused = configuration.refusal == .refused || verdict.isTemporary
        let answer = Answer(code: isRefused ? .refused : .nameError)
        reply(ResponseEncoder.encode(answer, to: query, error: .blocked("policy: \(verdict)")), by: waiter.way)
    }

    /// An answer, as far as this sandbox may have it, once the way to its addresses is open.
    private func deliver(_ answer: Answer, age: UInt32, to waiter: Waiter) {
        guard let policy = clients[waiter.client]?.policy else { return }
        let query = waiter.query
        guard answer.code != .serverFailure else {
            return fail(waiter, "no upstream gave an answer a moment ago", .cached)
        }
        let told = answer.filtered { policy.permits($0, for: query.name) }
        let addresses = told.addresses.map { learned in
            LearnedAddress(address: learned.address, lifetime: learned.lifetime > age ? learned.lifetime - age : 0)
        }
        guard addresses.isEmpty || policy.learn(addresses, for: query.name) else {
            return fail(waiter, "the kernel did not take the addresses")
        }
        let removed = answer.addresses.count - addresses.count
        policy.record(
            DNSEvent(
                name: query.name, type: query.type, outcome: .answered(addresses: addresses.count, removed: removed)))
        reply(ResponseEncoder.encode(told, to: query, elapsed: age, limit: limit(waiter)), by: waiter.way)
    }

    private func fail(_ waiter: Waiter, _ reason: String, _ error: ExtendedError? = nil) {
        statistics.failures += 1
        clients[waiter.client]?.policy.record(
            DNSEvent(name: waiter.query.name, type: waiter.query.type, outcome: .failed(reason)))
        reply(ResponseEncoder.encode(.serverFailure, to: waiter.query, error: error), by: waiter.way)
    }

    private func limit(_ waiter: Waiter) -> Int {
        if case .stream = waiter.way { return 65535 }
        return waiter.query.payloadLimit
    }

    func expire() {
        let present = now()
        for outcome in pending.expire(now: present, using: &random) { settle(outcome) }
        probe(present)
        closeIdleStreams(present)
    }

    func settle(_ outcome: PendingQuestions<Waiter>.Outcome) {
        switch outcome {
        case .ignored, .nothing: return
        case .transmit(let transmission): transmit(transmission)
        case .answered(let key, let answer, let waiters):
            cache.store(answer, for: key, now: now() / 1000)
            for waiter in waiters {
                clients[waiter.client]?.pending -= 1
                deliver(answer, age: 0, to: waiter)
            }
        case .failed(let key, let failure, let waiters):
            cache.store(.serverFailure, for: key, now: now() / 1000)
            let (reason, error) = explain(failure)
            for waiter in waiters {
                clients[waiter.client]?.pending -= 1
                fail(waiter, reason, error)
            }
        }
    }

    private func explain(_ failure: ResolutionFailure) -> (String, ExtendedError?) {
        let troubles = links.compactMap(\.trouble).joined(separator: "; ")
        let details = troubles.isEmpty ? "" : " (\(troubles))"
        return switch failure {
        case .silence: ("no upstream answered in time" + details, .noReachableUpstream)
        case .unreachable: ("the upstreams cannot be reached" + details, .networkError)
        case .refused: ("no upstream gave an answer" + details, nil)
        case .noUpstream: ("there is no upstream", .noReachableUpstream)
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
