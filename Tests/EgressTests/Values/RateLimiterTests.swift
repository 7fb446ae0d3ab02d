import Testing

@testable import Egress

@Suite struct RateLimiterTests {
    @Test func `a burst passes, then the rate, and what was held back is counted`() {
        var limiter = RateLimiter(burst: 2, perSecond: 1)
        let atOnce = (0..<5).map { _ in limiter.admit(now: 10) }
        #expect(atOnce == [0, 0, nil, nil, nil])
        #expect(limiter.admit(now: 11) == 3)
        #expect(limiter.admit(now: 11) == nil)
    }
}
