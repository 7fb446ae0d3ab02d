import Synchronization
import System

/// Whether a program can do its work now, which is another question than whether it lives: everything that the work needs is tried.
///
/// What was found holds for a second, and whoever asks meanwhile waits for the one who tries: a flood of questions costs one look a
/// second, and writes nothing.
package final class Readiness: Sendable {
    package struct Finding: Hashable, Sendable {
        package let name: String
        /// What is wrong, for those who may know; nil where nothing is.
        package let problem: String?
    }

    private struct State {
        var findings: [Finding] = []
        var foundAt: UInt64?
        var looking: Task<[Finding], Never>?
    }

    private let checks: [ReadinessCheck]
    private let clock: @Sendable () -> UInt64
    private let state = Mutex(State())

    /// Nanoseconds.
    private static let validity: UInt64 = 1_000_000_000

    /// - Parameter clock: nanoseconds of a monotonic clock.
    package init(
        _ checks: [ReadinessCheck], clock: @escaping @Sendable () -> UInt64 = { SystemClock.monotonicNanoseconds() }
    ) {
        self.checks = checks
        self.clock = clock
    }

    package var findings: [Finding] {
        get async {
            let now = clock()
            let task = state.withLock { state -> Task<[Finding], Never>? in
                if let found = state.foundAt, now &- found < Self.validity { return nil }
                if let looking = state.looking { return looking }
                // Nobody's request: what it logs is about all of them.
                let task = Task.detached { [self] in await look() }
                state.looking = task
                return task
            }
            return await task?.value ?? state.withLock { $0.findings }
        }
    }

    private func look() async -> [Finding] {
        let findings = await withTaskGroup(of: (Int, Finding).self) { group in
            for (place, check) in checks.enumerated() {
                group.addTask { (place, Finding(name: check.name, problem: await check.problem())) }
            }
            var found: [(Int, Finding)] = []
            for await result in group { found.append(result) }
            return found.sorted { $0.0 < $1.0 }.map(\.1)
        }
        state.withLock { state in
            state.findings = findings
            state.foundAt = clock()
            state.looking = nil
        }
        return findings
    }
}

/// One thing that the work needs.
package final class ReadinessCheck: Sendable {
    package let name: String
    private let limit: Duration
    private let look: @Sendable () async -> String?
    private let isLooking = Mutex(false)

    /// - Parameters:
    ///   - limit: after which it counts as a problem that nothing was found.
    ///   - look: says what is wrong; nil where nothing is.
    package init(_ name: String, limit: Duration = .seconds(2), _ look: @escaping @Sendable () async -> String?) {
        (self.name, self.limit, self.look) = (name, limit, look)
    }

    fileprivate func problem() async -> String? {
        // What hangs is asked once, not once a second.
        guard
            isLooking.withLock({ was in
                defer { was = true }
                return !was
            })
        else { return "it has not answered yet" }
        let answer = FirstAnswer<String>()
        let clock = Task {
            try await Task.sleep(for: limit)
            answer.give("no answer within \(limit)")
        }
        Task {
            let problem = await look()
            isLooking.withLock { $0 = false }
            answer.give(problem)
            clock.cancel()
        }
        return await answer.value
    }
}
