import System

#if canImport(Glibc)
    import Glibc
#endif

/// The memory of the sandbox's programs, as their control group tells of it, in version 1 and 2 alike.
struct MemoryGroup: Sendable {
    /// The sandbox's.
    static let own = MemoryGroup()

    private let folder: String
    private let counts: Counts?

    init(folder: String = "/sys/fs/cgroup") {
        self.folder = folder
        counts = Counts(in: folder)
    }

    /// How many processes the kernel has killed because of the limit; nil if unknown.
    var kills: UInt64? {
        let name = "oom_kill "
        let line = counts?.text.utf8.split(separator: UInt8(ascii: "\n")).first { $0.starts(with: name.utf8) }
        return line.flatMap { UInt64(Substring($0.dropFirst(name.utf8.count))) }
    }

    /// The file that tells of kills. It stays open, since it is read for each command.
    private final class Counts: Sendable {
        private let file: FileDescriptor

        init?(in folder: String) {
            for name in ["memory.events", "memory/memory.oom_control"] {
                guard let file = try? FileDescriptor(opening: "\(folder)/\(name)", O_RDONLY | O_NONBLOCK) else {
                    continue
                }
                self.file = file
                return
            }
            return nil
        }

        var text: String {
            withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { space in
                let count = pread(file.number, space.baseAddress, space.count, 0)
                return String(decoding: space.prefix(max(count, 0)), as: UTF8.self)
            }
        }
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
