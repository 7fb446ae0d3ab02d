import Testing

@testable import Execd

struct PaceTests {
    private let capacity = 1 << 20

    @Test func `the shell waits for a client that reads, as long as it reads`() {
        var pace = Pace()
        #expect(pace.update(behind: capacity / 2, capacity: capacity) == nil)
        #expect(pace.update(behind: capacity / 2 + 1, capacity: capacity) == .pause)
        for interval in 0..<100 {
            #expect(pace.check(position: interval * Pace.leastProgress) == nil)
            #expect(pace.update(behind: capacity / 2, capacity: capacity) == nil && pace.isHolding)
        }
        #expect(pace.update(behind: capacity / 4, capacity: capacity) == .resume)
    }

    @Test func `it does not wait for one that hardly reads, before that one has caught up`() {
        var pace = Pace()
        #expect(pace.update(behind: capacity, capacity: capacity) == .pause)
        #expect(pace.check(position: 0) == nil, "it has the first interval whole")
        #expect(pace.check(position: Pace.leastProgress - 1) == .resume)
        #expect(pace.update(behind: capacity, capacity: capacity) == nil && pace.isSlow)
        #expect(pace.check(position: 0) == nil)
        #expect(pace.update(behind: capacity / 4, capacity: capacity) == nil)
        #expect(pace.update(behind: capacity, capacity: capacity) == .pause)
    }

    @Test func `without a client it waits for nobody`() {
        var pace = Pace()
        #expect(pace.update(behind: 1 << 20, capacity: capacity) == .pause)
        #expect(pace.update(behind: 0, capacity: capacity) == .resume)
        #expect(pace.update(behind: 0, capacity: capacity) == nil)
    }
}
