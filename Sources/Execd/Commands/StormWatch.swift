import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Distinguishes a fork storm from programs that use too much memory: in a storm the kernel kills processes again and
/// again, and new ones appear at once.
struct StormJudge: Hashable, Sendable {
    /// The time between two readings.
    static let interval = Duration.milliseconds(500)
    /// Three seconds. With a thousand processes that all wait for memory the kernel may end no more in it than
    private static let intervals = 6
    /// these.
    private static let minKills: UInt64 = 8

    private var readings: [UInt64] = []

    /// - Parameter kills: how many processes the kernel has killed so far.
    mutating func isStorm(_ kills: UInt64) -> Bool {
        readings.append(kills)
        if readings.count > Self.intervals + 1 { readings.removeFirst() }
        return kills >= readings[0] && kills - readings[0] >= Self.minKills
    }
}

/// Ends a command that starts processes faster than the kernel can kill them when memory has run out. The kernel kills
/// one process at a time and never removes the cause, so nothing else in the sandbox would get memory or processor
/// time.
final class StormWatch: Sendable {
    private struct State {
        var isWatching = false
        var end = ContinuousClock.now
    }

    /// The least number of processes in a group; fewer are a program that is too large for its sandbox, not a storm.
    private static let minProcesses = 32
    /// How long to watch after a command has ended, since what it left behind may become a storm.
    private static let patience = Duration.seconds(60)

    private let memory: MemoryGroup
    private let registry: CommandRegistry
    private let state = Mutex(State())

    init(memory: MemoryGroup, registry: CommandRegistry) {
        self.memory = memory
        self.registry = registry
    }

    /// Checks periodically while a command runs, and for some time afterwards.
    func commandBegins() {
        let isFirst = state.withLock { state in
            state.end = .now + Self.patience
            defer { state.isWatching = true }
            return !state.isWatching
        }
        guard isFirst else { return }
        Task.detached { await self.watch() }
    }

    private func watch() async {
        var judge = StormJudge()
        var last: UInt64 = 0
        while true {
            try? await Task.sleep(for: StormJudge.interval)
            // A sandbox without a memory limit is left to the machine.
            let kills = memory.kills ?? 0
            if judge.isStorm(kills) {
                endStorm()
                judge = StormJudge()
            }
            if kills > last || registry.hasRunning { state.withLock { $0.end = .now + Self.patience } }
            last = kills
            let goesOn = state.withLock { state in
                state.isWatching = .now < state.end
                return state.isWatching
            }
            guard goesOn else { return }
        }
    }

    private func endStorm() {
        guard let (group, count) = CommandProcesses.groups().max(by: { $0.value < $1.value }),
            count >= Self.minProcesses
        else { return }
        registry.running(asGroup: group)?.noteStorm()
        kill(-group, SIGKILL)
        let line = "execd: memory ran out again and again: ended process group \(group) with its \(count) processes\n"
        write(STDERR_FILENO, line, line.utf8.count)
    }
}
