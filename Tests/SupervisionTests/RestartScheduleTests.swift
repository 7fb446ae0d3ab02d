import Testing

@testable import Supervision

@Suite struct RestartScheduleTests {
    @Test func `A process that has ended once is started again at once`() {
        var schedule = RestartSchedule()
        #expect(schedule.pause(after: .milliseconds(3)) == .zero)
    }

    @Test func `One that keeps ending is started later and later, up to a longest pause`() {
        var schedule = RestartSchedule()
        var pauses: [Duration] = []
        for _ in 0..<40 { pauses.append(schedule.pause(after: .milliseconds(1))) }
        #expect(pauses.prefix(4) == [.zero, .milliseconds(100), .milliseconds(200), .milliseconds(400)])
        #expect(zip(pauses, pauses.dropFirst()).allSatisfy { $0 <= $1 } && pauses.last == .seconds(5))
    }

    @Test func `One that ran for a while begins anew`() {
        var schedule = RestartSchedule()
        for _ in 0..<10 { _ = schedule.pause(after: .zero) }
        #expect(schedule.pause(after: RestartSchedule.steady) == .zero)
        #expect(schedule.pause(after: .zero) == .milliseconds(100))
    }
}
