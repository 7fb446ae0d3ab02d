import System

#if canImport(Glibc)
    import Glibc
#endif

/// Finds what has been started in a terminal: by its session (setsid(2)), and by a variable of the environment, which stays
/// with those that have begun a session of their own.
enum TerminalProcesses {
    /// Threads of its own: a process that waits for memory lets nobody read its environment.
    static let threads = WorkerPool(maxThreads: 2)

    /// How often it is looked again for what was started meanwhile.
    private static let maxRounds = 20

    /// Kills all of them.
    /// - Parameters:
    ///   - session: the pid of the shell, which has not been waited for; nil for none.
    ///   - mark: `NAME=value`.
    static func end(session: pid_t?, mark: String) {
        for _ in 0..<maxRounds {
            let found = pids().filter { isOf($0, session, Array(mark.utf8)) }
            guard !found.isEmpty else { return }
            for pid in found { kill(pid, SIGKILL) }
        }
    }

    private static func pids() -> [pid_t] {
        (File.names(in: "/proc") ?? []).compactMap { pid_t($0) }.filter { $0 > 1 && $0 != getpid() }
    }

    private static func isOf(_ pid: pid_t, _ session: pid_t?, _ mark: [UInt8]) -> Bool {
        guard let stat = File.text("/proc/\(pid)/stat"), let (state, number) = Self.session(ofStat: stat), state != "Z"
        else {
            return false
        }
        if let session, number == session { return true }
        // What a process was started with; it is empty for one that is none of ours to look into.
        guard let environment = try? File.read("/proc/\(pid)/environ", limit: 4 << 20) else { return false }
        return environment.split(separator: 0).contains { $0.elementsEqual(mark) }
    }

    /// The third and the sixth field (proc(5)). The second, the program's name in parentheses, may contain anything.
    static func session(ofStat text: String) -> (state: String, session: pid_t)? {
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[end...].split(separator: " ")
        guard fields.count > 4, let session = pid_t(fields[4]) else { return nil }
        return (String(fields[1]), session)
    }
}
