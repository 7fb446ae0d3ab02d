import System

#if canImport(Glibc)
    import Glibc
#endif

/// Finds and ends what a command or a terminal has started: by the session or the group of its first process, by descent from
/// it, and by a variable of the environment, which stays with those that have begun a session of their own and whose parents
/// have ended.
struct StartedProcesses: Sendable {
    /// The pid of the first one, which leads a group and may lead a session; nil once it has been waited for.
    var first: pid_t?
    /// `NAME=value`.
    var mark: String
    /// The time, as `ProcessStat.start`, before which nothing that descends from the first one belongs to them.
    var since: UInt64 = 0

    /// Threads of their own: a process that waits for memory lets nobody read its environment.
    static let threads = WorkerPool(maxThreads: 2)

    /// How often it is looked again for what was started meanwhile.
    private static let maxRounds = 20

    /// Kills all of them.
    /// - Parameter seen: processes that were among them earlier; they and what descends from them are ended, too.
    func end(_ seen: Set<ProcessStat> = []) { Self.end([self], seen) }

    /// The same for several: each look is one look.
    static func end(_ several: [StartedProcesses], _ seen: Set<ProcessStat>) {
        for _ in 0..<maxRounds {
            let found = find(several, seen)
            guard !found.isEmpty else { return }
            for process in found { kill(process.pid, SIGKILL) }
        }
    }

    /// All that can be found now.
    private static func find(_ several: [StartedProcesses], _ seen: Set<ProcessStat>) -> Set<ProcessStat> {
        let marks = Set(several.map { Array($0.mark.utf8)[...] })
        let begun = Set(seen.map(\.identity))
        return ProcessStat.withDescendants(of: ProcessStat.all()) { process in
            begun.contains(process.identity) || several.contains { $0.isOfFirst(process) } || has(marks, process.pid)
        }
    }

    /// Those that can be found without looking into any process, which may have to be waited for.
    func findByDescent() -> Set<ProcessStat> { Self.findByDescent(of: [self]) }

    /// The same for several: one look.
    static func findByDescent(of several: [StartedProcesses]) -> Set<ProcessStat> {
        let all = ProcessStat.all()
        return several.reduce(into: []) { found, started in
            found.formUnion(
                ProcessStat.withDescendants(of: all, where: started.isOfFirst).filter { $0.start >= started.since })
        }
    }

    private func isOfFirst(_ process: ProcessStat) -> Bool {
        guard let first else { return false }
        return process.pid == first || process.session == first || process.group == first
    }

    /// What a process was started with; it is empty for one that is none of ours to look into.
    private static func has(_ marks: Set<ArraySlice<UInt8>>, _ pid: pid_t) -> Bool {
        guard let environment = try? File.read("/proc/\(pid)/environ", limit: 4 << 20) else { return false }
        return environment.split(separator: 0).contains(where: marks.contains)
    }
}
