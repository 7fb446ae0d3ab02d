/// The memory of the sandbox's programs, as their control group tells of it, in version 1 and 2 alike.
struct MemoryGroup: Sendable {
    private let folder: String

    init(folder: String = "/sys/fs/cgroup") { self.folder = folder }

    /// How many processes the kernel has ended because the limit was reached; nil where nothing tells.
    var kills: UInt64? {
        let lines = (read("memory.events") ?? read("memory/memory.oom_control"))?.split(separator: "\n") ?? []
        for words in lines.map({ $0.split(separator: " ") }) where words.count == 2 && words[0] == "oom_kill" {
            return UInt64(words[1])
        }
        return nil
    }

    /// Bytes; nil where there is no limit.
    private var limit: UInt64? {
        // Version 1 says the largest number of whole pages for none.
        (read("memory.max") ?? read("memory/memory.limit_in_bytes"))
            .flatMap { UInt64($0.prefix { $0 != "\n" }) }.flatMap { $0 < 1 << 60 ? $0 : nil }
    }

    /// What a command that failed is to be told, if the kernel has ended processes since there were `earlier`.
    func reason(since earlier: UInt64?) -> String? {
        guard let earlier, let kills, kills > earlier else { return nil }
        guard let limit else { return "the machine's memory ran out: the kernel ended processes of the sandbox" }
        return "the sandbox's memory limit of \(limit >> 20) MiB was reached: the kernel ended processes of it"
    }

    private func read(_ name: String) -> String? { SmallFile.read("\(folder)/\(name)") }
}
