import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// What `GET /metrics` answers (docs/wire.md#execd): for the sandbox if its control group has limits, else for the
/// machine.
struct SystemMetrics: Encodable, Hashable, Sendable {
    /// Rounded up, because some clients refuse a decimal point here.
    var cpu_count: Int
    /// Percent of what it may use, since the sampler's last reading.
    var cpu_used_pct: Double
    var mem_total_mib: Double
    var mem_used_mib: Double
    /// Milliseconds since 1970.
    var timestamp: Int64
}

/// Reads the metrics. Processor use is measured between two readings of the same sampler.
final class MetricsSampler: Sendable {
    private let previous = Mutex(ProcessorTime())
    /// Also roughly when the sandbox started.
    private let start = microseconds()

    func sample(at now: Int64) -> SystemMetrics {
        let group = GroupUse { path in Self.contents(of: "/sys/fs/cgroup/" + path) }
        let online = Double(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        let processors = group.processors.map { min($0, online) }
        let time =
            if let processors, let used = group.processorTime {
                ProcessorTime(busy: used, total: UInt64(Double(Self.microseconds() - start) * processors))
            } else {
                ProcessorTime(procStat: Self.contents(of: "/proc/stat") ?? "")
            }
        let used = previous.withLock { earlier in
            defer { earlier = time }
            return time.used(since: earlier)
        }
        let memory = Memory(memInfo: Self.contents(of: "/proc/meminfo") ?? "").limited(by: group)
        return SystemMetrics(
            cpu_count: Int((processors ?? online).rounded(.up)), cpu_used_pct: used,
            mem_total_mib: Double(memory.total) / 1024, mem_used_mib: Double(memory.total - memory.available) / 1024,
            timestamp: now)
    }

    private static func microseconds() -> UInt64 { SystemClock.monotonicNanoseconds() / 1000 }

    private static func contents(of path: String) -> String? {
        File.text(path)
    }
}

/// Processor time since some start, in any unit: used and available.
struct ProcessorTime: Hashable, Sendable {
    var busy: UInt64 = 0
    var total: UInt64 = 0

    /// The first line of /proc/stat, in clock ticks.

    init(procStat text: String) {
        self.init()
        let numbers =
            text.split(separator: "\n").first?.split(separator: " ").dropFirst().compactMap { UInt64($0) } ?? []
        guard numbers.count >= 5 else { return }
        // Guest time is included in user time already. Wrapping addition, because the file may have been mounted over
        // and say anything.
        total = numbers.prefix(8).reduce(0, &+)
        busy = total &- numbers[3] &- numbers[4]
    }

    init(busy: UInt64 = 0, total: UInt64 = 0) {
        self.busy = busy
        self.total = total
    }

    /// Percent used between two readings.
    func used(since earlier: ProcessorTime) -> Double {
        guard total > earlier.total, busy >= earlier.busy, busy <= total else { return 0 }
        return Double(busy - earlier.busy) / Double(total - earlier.total) * 100
    }
}

/// /proc/meminfo, in KiB.
struct Memory: Hashable, Sendable {
    var total: UInt64 = 0
    var available: UInt64 = 0

    init(memInfo text: String) {
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count >= 2, let number = UInt64(words[1]) else { continue }
            if words[0] == "MemTotal:" { total = number }
            if words[0] == "MemAvailable:" { available = number }
        }
        available = min(available, total)
    }

    /// Applies the group's limit if it is below the machine's memory.
    func limited(by group: GroupUse) -> Memory {
        guard let limit = group.memoryLimit.map({ $0 / 1024 }), limit < total, let used = group.memoryUsed else {
            return self
        }
        var own = self
        own.total = limit
        own.available = limit - min(limit, used / 1024)
        return own
    }
}
