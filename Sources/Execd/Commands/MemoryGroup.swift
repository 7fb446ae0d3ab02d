import System

/// The memory of the sandbox's programs, as their control group tells of it, in version 1 and 2 alike.
struct MemoryGroup: Sendable {
    private let folder: String

    init(folder: String = "/sys/fs/cgroup") { self.folder = folder }

    /// How many processes the kernel has killed because of the limit; nil if unknown.
    var kills: UInt64? {
        let lines = (read("memory.events") ?? read("memory/memory.oom_control"))?.split(separator: "\n") ?? []
        for words in lines.map({ $0.split(separator: " ") }) where words.count == 2 && words[0] == "oom_kill" {
            return UInt64(words[1])
        }
        return nil
    }

    /// The limit in bytes; nil for none.
    private var limit: UInt64? {
        // In version 1 "no limit" is the largest whole number of pages.
        (read("memory.max") ?? read("memory/memory.limit_in_bytes"))
            .flatMap { UInt64($0.prefix { $0 != "\n" }) }.flatMap { $0 < 1 << 60 ? $0 : nil }
    }

    /// The explanation for a failed command, if the kernel has killed processes since the count was `earlier`.
    func reason(since earlier: UInt64?) -> String? {
        guard let earlier, let kills, kills > earlier else { return nil }
        guard let limit else { return "the machine's memory ran out: the kernel ended processes of the sandbox" }
        return "the sandbox's memory limit of \(limit >> 20) MiB was reached: the kernel ended processes of it"
    }

    private func read(_ name: String) -> String? { File.text("\(folder)/\(name)", limit: 64 << 10) }
}
