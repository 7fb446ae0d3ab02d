/// The limits and use of this sandbox's control group, for versions 1 and 2 (cgroups(7)). Other files of the kernel
/// describe the whole machine. A value is nil if the group does not limit or count it.
struct GroupUse: Hashable, Sendable {
    /// Bytes.
    var memoryLimit: UInt64?
    /// Bytes, without cache that the kernel can reclaim.
    var memoryUsed: UInt64?
    /// The number of processors, which may be a fraction.
    var processors: Double?
    /// Microseconds since the group was made.
    var processorTime: UInt64?

    /// - Parameter contents: reads a file by its path below the mounted groups; nil if there is none.
    init(contents: (String) -> String?) {
        func first<Number: LosslessStringConvertible>(_ path: String) -> Number? {
            contents(path)?.split(whereSeparator: \.isWhitespace).first.flatMap { Number(String($0)) }
        }
        func field(_ name: String, of path: String) -> UInt64? {
            let lines = contents(path)?.split(separator: "\n") ?? []
            guard let line = lines.first(where: { $0.hasPrefix(name + " ") }) else { return nil }
            return UInt64(line.dropFirst(name.utf8.count + 1))
        }
        let used: UInt64?, cache: UInt64?
        if let limits = contents("cpu.max")?.split(whereSeparator: \.isWhitespace), limits.count == 2 {
            processors = Self.processors(quota: Double(limits[0]), period: Double(limits[1]))
            processorTime = field("usage_usec", of: "cpu.stat")
            memoryLimit = first("memory.max")
            (used, cache) = (first("memory.current"), field("inactive_file", of: "memory.stat"))
        } else {
            processors = Self.processors(quota: first("cpu/cpu.cfs_quota_us"), period: first("cpu/cpu.cfs_period_us"))
            let nanoseconds: UInt64? = first("cpuacct/cpuacct.usage")
            processorTime = nanoseconds.map { $0 / 1000 }
            memoryLimit = first("memory/memory.limit_in_bytes")
            (used, cache) = (
                first("memory/memory.usage_in_bytes"), field("total_inactive_file", of: "memory/memory.stat")
            )
        }
        memoryUsed = used.map { $0 - min($0, cache ?? 0) }
    }

    /// "No quota" is "max" in version 2 and -1 in version 1.
    private static func processors(quota: Double?, period: Double?) -> Double? {
        guard let quota, let period, quota > 0, period > 0, (quota / period).isFinite else { return nil }
        return quota / period
    }
}
