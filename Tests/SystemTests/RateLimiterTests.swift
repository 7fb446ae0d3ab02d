import System
import Testing

private let second: UInt64 = 1_000_000_000

@Suite struct RateLimiterTests {
    private func outcomes(_ limiter: RateLimiter, _ asked: [(amount: UInt64, now: UInt64)]) -> [Bool] {
        var limiter = limiter
        return asked.map { limiter.take($0.amount, now: $0.now) }
    }

    @Test func `a burst passes, then the rate, with no rounding in anybody's favour, and nothing for a clock set back`()
    {
        let limiter = RateLimiter(Rate(burst: 10, refill: 3, period: 1000), now: 5000)
        let taken = outcomes(
            limiter,
            [
                (4, 5000), (6, 5000), (1, 5000), (1, 5333), (1, 5334), (1, 0), (1, 5334), (2, 5667), (1, 5667),
                (11, 1_000_000), (10, 1_000_000), (.max, 2_000_000),
            ])
        #expect(
            taken == [true, true, false, false, true, false, false, false, true, false, true, false])
        #expect(limiter.isFull(now: 5000))
    }

    @Test(arguments: [0, 1, UInt64.max / 2, .max])
    func `no number of a configuration, a caller or a clock traps`(number: UInt64) {
        for burst in [0, number] {
            let rate = Rate(burst: burst, refill: number, period: number)
            var keyed = KeyedRateLimiter<Int>(rate, capacity: 1)
            keyed.take(1, at: number)
            // Where there is no burst at all nobody is let through, and nobody waits for a time that has no number.
            #expect(keyed.wait(1, at: number) <= max(number, 1))
        }
        for rate in [
            Rate(burst: number, refill: number, period: number),
            Rate(burst: Int(clamping: number), every: .nanoseconds(Int64(clamping: number))),
            Rate(burst: Int(clamping: number), every: .seconds(Int64(clamping: number))),
            Rate(burst: -1, perSecond: -1), Rate(burst: .max, perSecond: .max),
        ] {
            var limiter = RateLimiter(rate, now: 0)
            _ = limiter.take(number, now: number)
            _ = limiter.take(number, now: .max)
            #expect(limiter.isFull(now: .max) || !limiter.isFull(now: 0))
        }
    }

    @Test func `in any time no more is taken than the burst and what came in`() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            let rate = Rate(
                burst: .random(in: 1...50, using: &random), refill: .random(in: 1...50, using: &random),
                period: .random(in: 1...5000, using: &random))
            var limiter = RateLimiter(rate, now: 0), now: UInt64 = 0, taken: UInt64 = 0
            for _ in 0..<200 {
                now += .random(in: 0...200, using: &random)
                let amount = UInt64.random(in: 0...8, using: &random)
                if limiter.take(amount, now: now) { taken += amount }
                #expect(taken <= rate.burst + now * rate.refill / rate.period)
            }
        }
    }

    @Test func `lines that are left out are counted, once`() {
        var limiter = RateLimiter(Rate(burst: 2, refill: 1, period: 1), now: 0)
        let counts = [0, 0, 0, 0, 1, 1, 2].map { limiter.admit(now: $0) }
        #expect(counts == [0, 0, nil, nil, 2, nil, 1])
    }
}

@Suite struct KeyedRateLimiterTests {
    @Test func `each key has the burst, then one after each interval, and asking more often costs nothing`() {
        var limiter = KeyedRateLimiter<String>(Rate(burst: 3, every: .seconds(1)), capacity: 10)
        let now = 100 * second
        for _ in 0..<3 {
            #expect(limiter.wait("a", at: now) == 0)
            limiter.take("a", at: now)
        }
        #expect(limiter.wait("a", at: now) == second && limiter.wait("b", at: now) == 0)
        let more = (0..<100).filter { _ in limiter.take("a", at: now) }
        #expect(more.isEmpty)
        #expect(limiter.wait("a", at: now) == second, "a refused one is not paid for")
        #expect(limiter.wait("a", at: now + second) == 0)
        #expect(!limiter.isFull("a", at: now + second) && limiter.isFull("a", at: now + 3 * second))
        #expect(limiter.isFull("b", at: now))
    }

    @Test func `whoever owes nothing is forgotten first, then those who owe least, and never more than may be`() {
        var limiter = KeyedRateLimiter<Int>(Rate(burst: 9, every: .seconds(1)), capacity: 100)
        for key in 0..<50 { limiter.take(key, at: second) }
        // Those of before have paid by now.
        for key in 1000..<1050 { for _ in 0..<5 { limiter.take(key, at: 20 * second) } }
        for key in 2000..<2051 { limiter.take(key, at: 20 * second) }
        #expect(limiter.count <= 100)
        #expect(!limiter.isFull(1000, at: 20 * second), "who owes much is remembered")
        for key in 3000..<10_000 {
            limiter.take(key, at: 20 * second)
            #expect(limiter.count <= 101)
        }
        #expect(!limiter.isFull(1000, at: 20 * second))
    }
}
