import NetworkPolicy
import Testing

@testable import DNSFilter

@Suite struct AnswerCacheTests {
    private func entry(_ name: String, ttl: UInt32, bytes: Int = 4) throws -> (CacheKey, Answer) {
        let name = try DomainName(name)
        var answer = Answer.empty
        answer.records = [
            ResourceRecord(owner: name.wire, type: 16, ttl: ttl, data: [UInt8](repeating: 7, count: bytes))
        ]
        return (CacheKey(name: name, type: 16), answer)
    }

    /// A negative answer as it comes from an upstream.
    private func negative(
        _ name: String, code: UInt8, soa: (ttl: UInt32, minimum: UInt32)?, chain: [(String, UInt32, String)] = []
    ) throws -> (CacheKey, Answer) {
        var bytes = responseBytes(
            to: queryBytes(name), code: code,
            records: chain.map { ($0.0, 5, $0.1, try! DomainName($0.2).wire) })
        if let soa {
            bytes[9] = 1
            bytes += try DomainName("example").wire + [0, 6, 0, 1] + number(soa.ttl) + [0, 24, 1, 97, 0, 0]
            bytes += [UInt8](repeating: 0, count: 16) + number(soa.minimum)
        }
        let response = try bytes.withUnsafeBytes { try UpstreamResponse($0) }
        let name = try DomainName(name)
        return (CacheKey(name: name, type: 1), Answer(response, name: name, type: 1))
    }

    private func number(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(value >> (24 - 8 * $0) & 0xff) } }

    @Test func `an answer is kept for its time and no longer`() throws {
        var cache = AnswerCache(capacity: 4)
        let (key, answer) = try entry("a.example", ttl: 10)
        cache.store(answer, for: key, now: 100)
        #expect(cache.answer(key, now: 109)?.age == 9)
        #expect(cache.answer(key, now: 110) == nil)
    }

    @Test func `a name that does not exist, or not with this type, is remembered for the SOA's time`() throws {
        for (code, soa, lifetime) in [
            (UInt8(3), (UInt32(300), UInt32(60)), UInt64(60)), (3, (40, 60), 40), (0, (300, 60), 60),
            (3, (86400, 86400), UInt64(Answer.maxNegativeLifetime)),
        ] {
            var cache = AnswerCache(capacity: 4)
            let (key, answer) = try negative("no.example", code: code, soa: soa)
            cache.store(answer, for: key, now: 100)
            let found = cache.answer(key, now: 99 + lifetime)
            let kept = try #require(found)
            #expect(kept.answer.code == (code == 3 ? .nameError : .noError) && kept.age == lifetime - 1)
            #expect(kept.answer.authority?.ttl == UInt32(lifetime), "the SOA goes out with the time that is left")
            #expect(cache.answer(key, now: 100 + lifetime) == nil)
        }
    }

    @Test func `a negative answer without a SOA is not kept`() throws {
        for code: UInt8 in [0, 3] {
            var cache = AnswerCache(capacity: 4)
            let (key, answer) = try negative("no.example", code: code, soa: nil)
            cache.store(answer, for: key, now: 0)
            #expect(cache.count == 0)
        }
    }

    @Test func `an alias to nothing is kept for the shorter of its times, and not without a SOA`() throws {
        let chain = [("al.example", UInt32(30), "no.example")]
        for code: UInt8 in [0, 3] {
            var cache = AnswerCache(capacity: 4)
            let (key, answer) = try negative("al.example", code: code, soa: (300, 60), chain: chain)
            cache.store(answer, for: key, now: 0)
            #expect(cache.answer(key, now: 29)?.answer.records.count == 1 && cache.answer(key, now: 30) == nil)
            let (bare, unproven) = try negative("al.example", code: code, soa: nil, chain: chain)
            cache.store(unproven, for: bare, now: 100)
            #expect(cache.answer(bare, now: 101) == nil)
        }
    }

    @Test func `a failure is remembered shortly, and longer each time that it goes on`() throws {
        var cache = AnswerCache(capacity: 8)
        let (key, answer) = try entry("a.example", ttl: 60)
        var now: UInt64 = 100
        for lifetime: UInt64 in [1, 2, 4, 8, 16, 30, 30] {
            cache.store(.serverFailure, for: key, now: now)
            #expect(cache.answer(key, now: now + lifetime - 1)?.answer == .serverFailure)
            #expect(cache.answer(key, now: now + lifetime) == nil)
            now += lifetime
        }
        now += 100
        cache.store(.serverFailure, for: key, now: now)
        #expect(cache.answer(key, now: now + 1) == nil, "a failure of long ago does not count")
        cache.store(answer, for: key, now: now + 1)
        cache.store(.serverFailure, for: key, now: now + 2)
        #expect(cache.answer(key, now: now + 3) == nil, "nor one before a success")
    }

    @Test func `the cache stays within its entries, and what was used last stays`() throws {
        var cache = AnswerCache(capacity: 8)
        let (kept, answer) = try entry("kept.example", ttl: 60)
        cache.store(answer, for: kept, now: 0)
        for number in 0..<1000 {
            let (key, answer) = try entry("n\(number % 40).example", ttl: 60)
            cache.store(answer, for: key, now: 0)
            #expect(cache.count <= 8)
            #expect(cache.answer(key, now: 1) != nil)
            #expect(cache.answer(kept, now: 1) != nil)
        }
    }

    @Test func `the cache stays within its bytes, and one answer cannot take them all`() throws {
        var cache = AnswerCache(capacity: 1_000_000, bytes: 32_000)
        var random = SeededGenerator()
        for number in 0..<2000 {
            let size = Int.random(in: 0...6000, using: &random)
            let (key, answer) = try entry("n\(number % 300).example", ttl: 60, bytes: size)
            cache.store(answer, for: key, now: 0)
            #expect(cache.bytes <= 32_000 && cache.bytes >= 0)
            #expect((cache.answer(key, now: 1) != nil) == (size < 3600) || (3500...4000).contains(size))
        }
        #expect(cache.count > 4)
    }

    @Test func `the cache says what a slow and obvious one says`() throws {
        var random = SeededGenerator(state: 5)
        for _ in 0..<50 {
            var cache = AnswerCache(capacity: 6)
            var model: [(key: CacheKey, until: UInt64)] = []
            var now: UInt64 = 0
            for _ in 0..<200 {
                now += UInt64.random(in: 0...3, using: &random)
                let ttl = UInt32.random(in: 0...20, using: &random)
                let (key, answer) = try entry("n\(Int.random(in: 0..<12, using: &random)).example", ttl: ttl)
                let place = model.firstIndex { $0.key == key }
                if Bool.random(using: &random) {
                    cache.store(answer, for: key, now: now)
                    if let place { model.remove(at: place) }
                    if ttl > 0 {
                        if model.count == 6 { model.removeFirst() }
                        model.append((key, now + UInt64(ttl)))
                    }
                } else {
                    let known = place.map { model[$0].until > now } ?? false
                    #expect((cache.answer(key, now: now) != nil) == known)
                    if known, let place { model.append(model.remove(at: place)) }
                }
                #expect(cache.count == model.count)
            }
        }
    }
}
