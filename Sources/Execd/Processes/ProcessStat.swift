import System

#if canImport(Glibc)
    import Glibc
#endif

/// The processes that a /proc shows.
enum ProcessNumbers {
    static func all(in folder: String = "/proc") -> [pid_t] {
        (File.names(in: folder) ?? []).compactMap { pid_t($0) }
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

    init?(_ text: String) {
        guard let open = text.firstIndex(of: "("), let pid = pid_t(text[..<open].filter { $0 != " " }),
            let fields = Self.fields(behindNameIn: text), fields.count > 20, let parent = pid_t(fields[2]),
            let group = pid_t(fields[3]), let session = pid_t(fields[4]), let start = UInt64(fields[20])
        else { return nil }
        (self.pid, self.parent, self.group, self.session, self.start) = (pid, parent, group, session, start)
        state = String(fields[1])
    }

    /// The fifth field, also of a text that is cut behind it.
    static func group(in text: String) -> pid_t? {
        guard let fields = fields(behindNameIn: text), fields.count > 3 else { return nil }
        return pid_t(fields[3])
    }

    /// The fields from the third on, behind a parenthesis. The second, the program's name, may contain anything, including
    /// parentheses and spaces.
    private static func fields(behindNameIn text: String) -> [Substring]? {
        guard let end = text.lastIndex(of: ")"), let open = text.firstIndex(of: "("), open < end else { return nil }
        return text[end...].split(separator: " ")
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
        ProcessNumbers.all().compactMap { pid in
            guard pid > 1, pid != getpid() else { return nil }
            return File.text("/proc/\(pid)/stat", limit: 64 << 10).flatMap(ProcessStat.init).flatMap {
                $0.state == "Z" ? nil : $0
            }
        }
    }

    /// Whether it is still there, and has not ended.
    var isAlive: Bool {
        guard let now = File.text("/proc/\(pid)/stat").flatMap(ProcessStat.init) else { return false }
        return now.start == start && now.state != "Z" && now.state != "X"
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
