#if canImport(Glibc)
    import Glibc
#endif

/// How a sandbox's entrypoint ended, as reported by its init. Root inside could forge the report, so it is only shown: nothing but
/// the state that a client sees depends on it.
package enum EntrypointEnd: Hashable, Sendable {
    case exited(Int32)
    case signalled(Int32)
    /// The errno, and the program that could not be started.
    case notStarted(Int32, program: String)

    /// Parses the last complete line of a report (`EndReport` of execd); nil if it is not one.
    init?(report: [UInt8]) {
        let lines = report.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        guard lines.count >= 2 else { return nil }
        let words = String(decoding: lines[lines.count - 2], as: UTF8.self)
            .split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard words.count >= 2, let number = Int32(words[1]) else { return nil }
        switch (words[0], words.count) {
        case ("exited", 2) where (0...255).contains(number): self = .exited(number)
        case ("signalled", 2) where (1...64).contains(number): self = .signalled(number)
        case ("failed", 3) where (1...4095).contains(number):
            self = .notStarted(number, program: String(words[2].unicodeScalars.prefix(256)))
        default: return nil
        }
    }

    /// Whether this is how an entrypoint, or a shell that ran it, ends when the kernel kills it for lack of memory.
    fileprivate var isKill: Bool { self == .signalled(SIGKILL) || self == .exited(128 + SIGKILL) }

    private static let names: [Int32: String] = [
        SIGHUP: "SIGHUP", SIGINT: "SIGINT", SIGQUIT: "SIGQUIT", SIGILL: "SIGILL", SIGTRAP: "SIGTRAP",
        SIGABRT: "SIGABRT", SIGBUS: "SIGBUS", SIGFPE: "SIGFPE", SIGKILL: "SIGKILL", SIGUSR1: "SIGUSR1",
        SIGSEGV: "SIGSEGV", SIGUSR2: "SIGUSR2", SIGPIPE: "SIGPIPE", SIGALRM: "SIGALRM", SIGTERM: "SIGTERM",
        SIGXCPU: "SIGXCPU", SIGXFSZ: "SIGXFSZ", SIGSYS: "SIGSYS",
    ]

    fileprivate var sentence: String {
        switch self {
        case .exited(let code): "the entrypoint ended with exit code \(code)"
        case .signalled(let number):
            "the entrypoint was ended by signal \(number)" + (Self.names[number].map { " (\($0))" } ?? "")
        case .notStarted(let code, let program):
            "the entrypoint \(program) could not be started: \(String(cString: strerror(code)))"
        }
    }
}

/// How a sandbox ended by itself.
package struct SandboxEnd: Hashable, Sendable, CustomStringConvertible {
    package var id: String
    /// nil if its init did not report it, or no server was running.
    package var entrypoint: EntrypointEnd?
    /// How many of its processes the kernel killed for lack of memory.
    package var memoryKills: UInt64
    /// Bytes; nil for no limit.
    package var memoryLimit: Int64?

    package init(id: String, entrypoint: EntrypointEnd?, memoryKills: UInt64 = 0, memoryLimit: Int64? = nil) {
        self.id = id
        self.entrypoint = entrypoint
        self.memoryKills = memoryKills
        self.memoryLimit = memoryLimit
    }

    /// Whether it ended because memory ran out, rather than having run out earlier.
    package var isOutOfMemory: Bool { memoryKills > 0 && (entrypoint?.isKill ?? true) }

    /// A sentence for people. It may contain a program's name, which is foreign text.
    package var description: String {
        let how = entrypoint?.sentence ?? "the entrypoint has ended, and the sandbox's init did not say how"
        guard memoryKills > 0, entrypoint != .exited(0) else { return how }
        let limit =
            memoryLimit.map { "the memory limit of \($0 >> 20) MiB was reached" } ?? "the machine's memory ran out"
        return "\(how); \(limit), and the kernel ended \(memoryKills == 1 ? "a process" : "\(memoryKills) processes")"
    }
}
