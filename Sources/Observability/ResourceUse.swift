import FoundationEssentials
import Synchronization
import System

/// Resource use of the machine and of this program's control group, under the reference's names: `PREFIX.system.…` and
/// `PREFIX.process.…`. Inside a container, "system" is the whole node, the same for all its sandboxes.
package final class ResourceUse: Sendable {
    private let prefix: String
    private let root: String
    /// Total and idle processor time at the last reading.
    private let seen = Mutex<(total: UInt64, idle: UInt64)?>(nil)

    /// - Parameter root: where /proc and /sys are, for tests.
    package init(prefix: String, root: String = "") {
        self.prefix = prefix
        self.root = root
    }

    /// The present values, as far as they can be read. Processor use is measured since the last call, at first since
    /// boot.
    package func samples() -> [MetricsRegistry.Sample] {
        var samples: [MetricsRegistry.Sample] = []
        if let bytes = systemMemory() { samples.append(.init("\(prefix).system.memory.usage_bytes", .gauge, bytes)) }
        if let ratio = systemLoad() { samples.append(.init("\(prefix).system.cpu.utilization", .gauge, ratio)) }
        if let bytes = groupMemory() { samples.append(.init("\(prefix).process.memory.usage_bytes", .gauge, bytes)) }
        if let seconds = groupTime() { samples.append(.init("\(prefix).process.cpu.time", .counter, seconds)) }
        return samples
    }

    /// Bytes in use (proc_meminfo(5)).
    private func systemMemory() -> Double? {
        var kibibytes: [Substring: Double] = [:]
        for line in lines(of: "/proc/meminfo") {
            let words = line.split(whereSeparator: { $0 == " " || $0 == ":" })
            if words.count >= 2 { kibibytes[words[0]] = Double(words[1]) }
        }
        guard let total = kibibytes["MemTotal"], let available = kibibytes["MemAvailable"] else { return nil }
        return max(0, total - available) * 1024
    }

    /// Busy time by all time, 0 to 1 (proc_stat(5)): user, nice, system, idle, iowait, irq, softirq, steal; guests'
    /// time is included in user.
    private func systemLoad() -> Double? {
        guard let line = lines(of: "/proc/stat").first(where: { $0.hasPrefix("cpu ") }) else { return nil }
        let times = line.split(separator: " ").dropFirst().prefix(8).compactMap { UInt64($0) }
        guard times.count == 8 else { return nil }
        let now = (total: times.reduce(0, &+), idle: times[3] &+ times[4])
        return seen.withLock { seen in
            let before = seen ?? (0, 0)
            // Nothing new within the same tick. Idle time may also decrease now and then.
            guard now.total > before.total else { return nil }
            seen = now
            let passed = now.total - before.total
            let idle = min(passed, now.idle > before.idle ? now.idle - before.idle : 0)
            return Double(passed - idle) / Double(passed)
        }
    }

    private func groupMemory() -> Double? {
        number("/sys/fs/cgroup\(group(nil))/memory.current")
            ?? number("/sys/fs/cgroup/memory\(group("memory"))/memory.usage_in_bytes")
    }

    /// Seconds.
    private func groupTime() -> Double? {
        for line in lines(of: "/sys/fs/cgroup\(group(nil))/cpu.stat") where line.hasPrefix("usage_usec ") {
            return Double(line.dropFirst("usage_usec ".count)).map { $0 / 1e6 }
        }
        return number("/sys/fs/cgroup/cpuacct\(group("cpuacct"))/cpuacct.usage").map { $0 / 1e9 }
    }

    /// The path of the program's group below the hierarchy's root (cgroups(7)), without a final slash.
    /// - Parameter controller: of version 1; nil for version 2.
    private func group(_ controller: String?) -> String {
        for line in lines(of: "/proc/self/cgroup") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let isMeant =
                controller.map { fields[1].split(separator: ",").contains(Substring($0)) } ?? (fields[0] == "0")
            if isMeant { return fields[2] == "/" ? "" : String(fields[2]) }
        }
        return ""
    }

    private func number(_ path: String) -> Double? { lines(of: path).first.flatMap { Double($0) } }

    private func lines(of path: String) -> [Substring] {
        File.text(root + path)?.split(separator: "\n") ?? []
    }
}

extension MetricsRegistry {
    /// Adds resource use to the registry.
    package func collect(_ use: ResourceUse) { collect { use.samples() } }
}
