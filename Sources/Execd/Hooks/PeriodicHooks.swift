import Logging
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Runs the hooks that are due again and again while the sandbox runs. Each runs once at a time: a time that comes while it runs
/// is passed over.
final class PeriodicHooks: Sendable {
    private let runner: CommandRunner
    private let logger: Logger
    private let tasks = Mutex<[Task<Void, Never>]>([])

    init(runner: CommandRunner, logger: Logger) {
        self.runner = runner
        self.logger = logger
    }

    /// - Parameter hooks: validated ones; those of before go on.
    func begin(_ hooks: [LifecycleHooks.Periodic]) {
        for hook in hooks {
            guard let schedule = Schedule(hook.schedule) else { continue }
            let task = Task { await run(hook, schedule) }
            tasks.withLock { $0.append(task) }
        }
    }

    func end() { for task in tasks.withLock({ $0 }) { task.cancel() } }

    private func run(_ hook: LifecycleHooks.Periodic, _ schedule: Schedule) async {
        var last = Int64(SystemClock.wallSeconds())
        while let next = schedule.next(after: last) {
            // The clock may be set meanwhile: it is asked again.
            while true {
                let rest = next - Int64(SystemClock.wallSeconds())
                guard rest > 0 else { break }
                do { try await Task.sleep(for: .seconds(min(rest, 60))) } catch { return }
            }
            let limit = hook.timeoutSeconds ?? LifecycleHooks.usualSeconds
            if let failure = await HookRun.failure(of: hook.command, within: limit, runner) {
                logger.warning("a periodic hook failed", metadata: ["hook": "\(hook.name)", "reason": "\(failure)"])
            }
            last = max(next, Int64(SystemClock.wallSeconds()))
        }
    }
}

/// One run of a hook by the API.
enum HookRun {
    /// The last bytes of a hook's output that its failure shows.
    private static let shownOutput = 2048

    /// - Returns: why it failed; nil if it did not.
    static func failure(of command: [String], within seconds: Int, _ runner: CommandRunner) async -> String? {
        let request = CommandRequest(argv: command, timeout: Int64(seconds) * 1000)
        guard let (record, events) = try? await SpawnThreads.run({ runner.start(request) }) else {
            return "it was not started"
        }
        var output: [UInt8] = []
        for await event in events {
            guard case .output(_, let bytes) = event else { continue }
            record.consumed(bytes.count)
            output = (output + bytes).suffix(shownOutput)
        }
        let state = record.current
        // Nobody asks for it again, and it would take the place of a client's.
        runner.registry.forget(record)
        guard state.failure != nil || state.exit != .exited(0) else { return nil }
        let end = state.failure ?? state.exit.map { "it ended with \($0.code)" } ?? "it ended"
        return output.isEmpty ? end : end + ": " + String(decoding: output, as: UTF8.self)
    }
}
