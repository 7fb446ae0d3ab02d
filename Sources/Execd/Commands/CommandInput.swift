import Synchronization
import System

/// The standard input of one command, as far as clients write it. What waits to be read is bounded: a client whose command does
/// not read waits, and nobody else does.
final class CommandInput: Sendable {
    private struct State {
        var flow = InputFlow()
        var process: RunningProcess?
        /// No more of it is taken: it has been ended, or nobody will read it.
        var isClosed = false
    }

    private enum Step {
        case taken, closed, waits
    }

    /// How long a wait is before it is begun again: commands may read as late as they like.
    private static let longWait = Duration.seconds(3600)

    private let state = Mutex(State())
    private let waiters = Waiters()

    /// Whether no more of it is taken.
    var isClosed: Bool { state.withLock { $0.isClosed } }

    /// The command runs.
    /// - Parameters:
    ///   - first: what it gets at once.
    ///   - ends: whether that is all.
    func begin(_ process: RunningProcess, first: [UInt8], ends: Bool) {
        state.withLock { state in
            // It may have ended by now.
            guard !state.isClosed else { return }
            state.process = process
            guard !first.isEmpty else { return }
            _ = state.flow.add(first.count)
            process.write(first)
        }
        if ends { end() }
    }

    /// Hands bytes on, when there is room.
    /// - Returns: false if the command takes no more; then nothing of it has been handed on.
    func write(_ bytes: [UInt8]) async -> Bool {
        while true {
            let step: Step = state.withLock { state in
                guard !state.isClosed, let process = state.process else { return .closed }
                guard !state.flow.hasToWait, state.flow.add(bytes.count) else { return .waits }
                process.write(bytes)
                return .taken
            }
            switch step {
            case .taken: return true
            case .closed: return false
            case .waits:
                let end = await waiters.wait(atMost: Self.longWait) {
                    state.withLock { $0.isClosed || !$0.flow.hasToWait }
                }
                if end == .cancelled { return false }
            }
        }
    }

    /// The command gets the end of its input behind what it has been given.
    /// - Returns: false if it takes no more already.
    @discardableResult
    func end() -> Bool {
        let isFirst = state.withLock { state in
            guard !state.isClosed, let process = state.process else { return false }
            process.endInput()
            state.isClosed = true
            return true
        }
        waiters.wake()
        return isFirst
    }

    /// On the loop's thread.
    func receive(_ event: ProcessEvent) {
        let frees: Bool = state.withLock { state in
            switch event {
            case .took(let count):
                let waited = state.flow.hasToWait
                state.flow.took(count)
                return waited && !state.flow.hasToWait
            case .refusedInput, .ended:
                state.isClosed = true
                state.process = nil
                return true
            case .output: return false
            }
        }
        if frees { waiters.wake() }
    }
}
