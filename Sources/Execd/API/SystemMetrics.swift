import FoundationEssentials
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// What `GET /metrics` answers (CLIENTS.md, section 5).
struct SystemMetrics: Encodable, Hashable, Sendable {
    /// Some clients refuse a number with a decimal point here.
    var cpu_count: Int
    /// Of all processors, since the sampler's last reading.
    var cpu_used_pct: Double
    var mem_total_mib: Double
    var mem_used_mib: Double
    /// Milliseconds since 1970.
    var timestamp: Int64
}

/// Reads the metrics; processor use is that between two readings of one sampler.
final class MetricsSampler: Sendable {
    private let previous = Mutex(ProcessorTime())

    func sample(at now: Int64) -> SystemMetrics {
        let time = ProcessorTime(procStat: Self.contents(of: "/proc/stat"))
        let used = previous.withLock { earlier in
            defer { earlier = time }
            return time.used(since: earlier)
        }
        let memory = Memory(memInfo: Self.contents(of: "/proc/meminfo"))
        return SystemMetrics(
            cpu_count: sysconf(Int32(_SC_NPROCESSORS_ONLN)), cpu_used_pct: used,
            mem_total_mib: Double(memory.total) / 1024, mem_used_mib: Double(memory.total - memory.available) / 1024,
            timestamp: now)
    }

    private static func contents(of path: String) -> String {
        (try? Data(contentsOf: URL(filePath: path))).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }
}

/// The first line of /proc/stat: clock ticks since the start.
struct ProcessorTime: Hashable, Sendable {
    var busy: UInt64 = 0
    var total: UInt64 = 0

    init() {}

    init(procStat text: String) {
        let numbers =
            text.split(separator: "\n").first?.split(separator: " ").dropFirst().compactMap { UInt64($0) } ?? []
        guard numbers.count >= 5 else { return }
        // guest time is counted in user time already.
        total = numbers.prefix(8).reduce(0, +)
        busy = total - numbers[3] - numbers[4]
    }

    /// Percent of the ticks between two readings.
    func used(since earlier: ProcessorTime) -> Double {
        guard total > earlier.total, busy >= earlier.busy else { return 0 }
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
}
