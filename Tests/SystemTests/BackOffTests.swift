import System
import Testing

@Suite struct BackOffTests {
    @Test func `each pause is twice the one before up to the longest, and the first one after a success`() {
        var backOff = BackOff(first: 1000, longest: 5000)
        let pauses = (0..<5).map { _ in backOff.next() }
        #expect(pauses == [1000, 2000, 4000, 5000, 5000])
        #expect(backOff.failures == 5)
        backOff.reset()
        let first = backOff.next()
        #expect(first == 1000 && backOff.failures == 1)
    }

    @Test func `half of a pause is chance`() {
        var backOff = BackOff(first: 1000, longest: 3000)
        let pauses = [1, 0, 1].map { backOff.spread(random: $0) }
        #expect(pauses == [.seconds(1), .seconds(1), .seconds(3)])
        let chance = backOff.spread()
        #expect((Duration.milliseconds(1500)...(.seconds(3))).contains(chance))
    }

    @Test func `thousands of failures, and any first pause, end at the longest`() {
        for first in [1, 3, UInt64.max] {
            var backOff = BackOff(first: first, longest: 9000)
            let pauses = (0..<5000).map { _ in backOff.next() }
            #expect(pauses.allSatisfy { $0 <= 9000 } && pauses.last == 9000)
        }
    }
}
