import Addresses
import NetworkPolicy
import Synchronization
import Testing

@testable import DNSFilter

#if canImport(Glibc)
    import Glibc
#endif

/// Answers that go out again without their policy being asked.
@Suite struct RepeatedAnswerTests {
    @Test func `a clearance is one sandbox's, for one stored answer, one revision and a time`() {
        var approvedAnswers = ApprovedAnswers(capacity: 8)
        approvedAnswers.grant(client: 3, serial: 5, revision: 7, until: 1000)
        #expect(approvedAnswers.holds(client: 3, serial: 5, revision: 7, now: 999))
        #expect(!approvedAnswers.holds(client: 3, serial: 5, revision: 7, now: 1000))
        #expect(!approvedAnswers.holds(client: 4, serial: 5, revision: 7, now: 999))
        #expect(!approvedAnswers.holds(client: 3, serial: 6, revision: 7, now: 999))
        #expect(!approvedAnswers.holds(client: 3, serial: 5, revision: 8, now: 999))
    }

    @Test func `an answer that is stored again is another one`() throws {
        var cache = AnswerCache(capacity: 4)
        let name = try DomainName("a.example")
        let key = CacheKey(name: name, type: 1)
        var answer = Answer.empty
        answer.records = [ResourceRecord(owner: name.wire, type: 1, ttl: 60, data: [198, 51, 100, 1])]
        cache.store(answer, for: key, now: 0)
        let first = cache.find(key, now: 1)
        cache.store(answer, for: key, now: 1)
        let second = cache.find(key, now: 1)
        #expect(try #require(first).serial != #require(second).serial)
    }

    @Test func `an answer that is kept encoded is the same as one that is encoded anew, less its age`() throws {
        let name = try DomainName("a.example"), alias = try DomainName("b.example")
        var answer = Answer.empty
        answer.records = [
            ResourceRecord(owner: name.wire, type: RecordType.cname, ttl: 300, data: alias.wire),
            ResourceRecord(owner: alias.wire, type: 1, ttl: 20, data: [198, 51, 100, 1]),
        ]
        #expect(answer.aliases == [alias] && Answer.empty.aliases.isEmpty)
        let bytes = queryBytes("a.example")
        let query = try #require(try bytes.withUnsafeBytes { Query.parse($0) }?.get())
        for age: UInt32 in [0, 5, 20, 400] {
            let told = ResponseEncoder.encode(answer, to: query, elapsed: age)
            let response = try told.withUnsafeBytes { try UpstreamResponse($0) }
            #expect(response.answers.map(\.ttl) == [300 - min(age, 300), 20 - min(age, 20)])
            #expect(response.answers.map(\.data) == answer.records.map(\.data))
        }
    }

    @Test func `a query that is read into the memory of one that is kept leaves that one alone`() throws {
        var memory = Query.Memory()
        let bytes = [queryBytes("first.example"), queryBytes("second.example")]
        let first = try #require(try bytes[0].withUnsafeBytes { Query.parse($0, reusing: &memory) }?.get())
        let second = try #require(try bytes[1].withUnsafeBytes { Query.parse($0, reusing: &memory) }?.get())
        #expect(first.name.description == "first.example" && second.name.description == "second.example")
        #expect(Array(first.question.dropLast(4)) == first.name.wire)
    }

    @Test func `a policy that stands is not asked again until it is another one`() throws {
        let upstream = try Upstream { query, _ in
            responseBytes(to: query, records: [("a.example", 1, 60, [198, 51, 100, 1])])
        }
        defer { upstream.close() }
        let policy = StandingPolicy()
        var configuration = DNSConfiguration(upstreams: [upstream.address])
        configuration.randomisesCase = false
        let server = try DNSServer(configuration: configuration)
        try server.start()
        defer { server.stop() }
        let (datagrams, port) = try Loopback.socket(SOCK_DGRAM, blocking: false)
        _ = server.attach(DNSSockets(udp: [datagrams], tcp: []), policy: policy)
        let client = try Loopback.connect(SOCK_DGRAM, port: port)
        defer { close(client) }

        // Forwarded, then from the cache, then as it was.
        for asked in [1, 2, 2, 2] {
            #expect(ask(client) == 0)
            #expect(policy.asked.withLock { $0 } == asked)
        }
        policy.change(allowing: false)
        #expect(ask(client) == 3, "the change holds for the next query")
        policy.change(allowing: true)
        #expect(ask(client) == 0)
        #expect(policy.asked.withLock { $0 } == 4)
    }

    /// The code of the answer.
    private func ask(_ client: CInt) -> UInt8? {
        let query = queryBytes("a.example")
        send(client, query, query.count, 0)
        var answer = [UInt8](repeating: 0, count: 512)
        return recv(client, &answer, 512, 0) > 12 ? answer[3] & 0xf : nil
    }
}

/// Says whether its answers stand, and counts how often it is asked.
private final class StandingPolicy: DNSPolicy {
    let asked = Mutex(0)
    private let state = Mutex((isAllowing: true, revision: UInt64(1)))

    func change(allowing: Bool) { state.withLock { $0 = (allowing, $0.revision + 1) } }

    var revision: UInt64 { state.withLock { $0.revision } }
    func validSeconds(of addresses: [LearnedAddress], for name: DomainName) -> UInt32 { 60 }
    func refusal(_ name: DomainName, type: UInt16) -> Verdict? {
        asked.withLock { $0 += 1 }
        return state.withLock { $0.isAllowing } ? nil : Verdict(action: .deny, reason: .defaultAction)
    }
    func permits(_ address: IPAddress, for name: DomainName) -> Bool { true }
    func learn(_ addresses: [LearnedAddress], for name: DomainName) -> Learning { .opened }
    func record(_ event: DNSEvent) {}
}
