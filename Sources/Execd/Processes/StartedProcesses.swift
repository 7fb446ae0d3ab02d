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
    func end(_ seen: Set<ProcessStat> = []) {
        for _ in 0..<Self.maxRounds {
            let found = find(seen)
            guard !found.isEmpty else { return }
            for process in found { kill(process.pid, SIGKILL) }
        }
    }

    /// All that can be found now.
    func find(_ seen: Set<ProcessStat> = []) -> Set<ProcessStat> {
        let all = ProcessStat.all()
        let mark = Array(self.mark.utf8)
        let begun = Set(seen.map(\.identity))
        return ProcessStat.withDescendants(of: all) { process in
            begun.contains(process.identity) || isOfFirst(process) || Self.has(mark, process.pid)
        }
    }

    /// Those that can be found without looking into any process, which may have to be waited for.
    func findByDescent() -> Set<ProcessStat> {
        ProcessStat.withDescendants(of: ProcessStat.all(), where: isOfFirst).filter { $0.start >= since }
    }

    private func isOfFirst(_ process: ProcessStat) -> Bool {
        guard let first else { return false }
        return process.pid == first || process.session == first || process.group == first
    }

    /// What a process was started with; it is empty for one that is none of ours to look into.
    private static func has(_ mark: [UInt8], _ pid: pid_t) -> Bool {
        guard let environment = try? File.read("/proc/\(pid)/environ", limit: 4 << 20) else { return false }
        return environment.split(separator: 0).contains { $0.elementsEqual(mark) }
    }
}

/// What /proc/PID/stat tells of a process (proc(5)).
struct ProcessStat: Hashable, Sendable {
    var pid: pid_t
    var state: String
    var parent: pid_t
    var group: pid_t
    var session: pid_t
    /// Ticks of the clock since the machine began. With the pid it names one process for good.
    var start: UInt64

    struct Identity: Hashable, Sendable {
        var pid: pid_t
        var start: UInt64
    }
    var identity: Identity { Identity(pid: pid, start: start) }

    /// The second field, the program's name in parentheses, may contain anything, including parentheses and spaces.
    init?(_ text: String) {
        guard let open = text.firstIndex(of: "("), let end = text.lastIndex(of: ")"), open < end,
            let pid = pid_t(text[..<open].filter { $0 != " " })
        else { return nil }
        let fields = text[end...].split(separator: " ")
        guard fields.count > 20, let parent = pid_t(fields[2]), let group = pid_t(fields[3]),
            let session = pid_t(fields[4]), let start = UInt64(fields[20])
        else { return nil }
        (self.pid, self.parent, self.group, self.session, self.start) = (pid, parent, group, session, start)
        state = String(fields[1])
    }

    /// The time now, as `start` counts it.
    static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        let ticks = max(1, sysconf(Int32(_SC_CLK_TCK)))
        return UInt64(time.tv_sec) * UInt64(ticks) + UInt64(time.tv_nsec) / (1_000_000_000 / UInt64(ticks))
    }

    /// All processes that can be seen but the first one, this one, and those that have ended and wait for their parents.
    static func all() -> [ProcessStat] {
        (File.names(in: "/proc") ?? []).compactMap { name in
            guard let pid = pid_t(name), pid > 1, pid != getpid() else { return nil }
            return File.text("/proc/\(pid)/stat", limit: 64 << 10).flatMap(ProcessStat.init).flatMap {
                $0.state == "Z" ? nil : $0
            }
        }
    }

    /// Those that are asked for, and what they have started, whatever its group and session.
    static func withDescendants(of all: [ProcessStat], where isWanted: (ProcessStat) -> Bool) -> Set<ProcessStat> {
        let children = Dictionary(grouping: all, by: \.parent)
        var found: Set<ProcessStat> = []
        var pending = all.filter(isWanted)
        while let process = pending.popLast() {
            guard found.insert(process).inserted else { continue }
            pending += children[process.pid] ?? []
        }
        return found
    }
}
