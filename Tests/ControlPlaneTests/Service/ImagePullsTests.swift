import NIOHTTP1
import Runtimes
import Testing

@testable import ControlPlane

@Suite struct ImagePullsTests {
    private let wanted = ImagePulls.Wanted(owner: nil, image: "a", credentials: nil)

    @Test func `a pull that everybody has left is still the one that runs`() throws {
        let pulls = ImagePulls()
        let (_, waiter) = AsyncStream<ImagePulls.Outcome?>.makeStream()
        pulls.leave(wanted, try pulls.join(wanted, waiter) { true })
        let again = try pulls.join(wanted, waiter) {
            Issue.record("a second pull")
            return true
        }
        pulls.end(wanted, .failure(.queueFull))
        // Of a pull that is over: no waiter of the next one goes by it.
        pulls.leave(wanted, again)
        #expect(throws: APIError.queueFull) { try pulls.join(wanted, waiter) { false } }
    }

    @Test func `only so many wait for one pull, and who leaves makes room`() throws {
        let pulls = ImagePulls()
        let (_, waiter) = AsyncStream<ImagePulls.Outcome?>.makeStream()
        var last: UInt64 = 0
        for _ in 0..<ImagePulls.mostWaiters { last = try pulls.join(wanted, waiter) { true } }
        let error = #expect(throws: APIError.self) { try pulls.join(wanted, waiter) { true } }
        #expect(error?.status == .tooManyRequests)
        pulls.leave(wanted, last)
        _ = try pulls.join(wanted, waiter) { true }
    }
}
