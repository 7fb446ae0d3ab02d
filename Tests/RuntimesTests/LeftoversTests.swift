import System
import Testing

@testable import Runtimes

@Suite struct LeftoversTests {
    @Test func `what fails is tried again later and later, and at last not more than every five minutes`() {
        var backOff = BackOff.removals
        #expect((0..<10).map { _ in backOff.next() / 1000 } == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300])
    }
}
