import System

#if canImport(Glibc)
    import Glibc
#endif

/// Reports how the entrypoint ended to whoever started the sandbox, as one line: `exited 3`, `signalled 9`, or `failed
/// 2 /program` with the errno of a program that could not be started. Init's exit code cannot distinguish the first
/// two, and no parent is left to read it.
struct EndReport {
    enum End: Hashable {
        case ended(ProcessExit)
        case notStarted(SpawnError)

        var line: String {
            switch self {
            case .ended(.exited(let code)): "exited \(code)\n"
            case .ended(.signalled(let number)): "signalled \(number)\n"
            case .notStarted(let failure):
                "failed \(failure.code) \(String(failure.program.prefix(256).filter { !$0.isNewline }))\n"
            }
        }
    }

    /// nil for no report.
    let descriptor: CInt?

    /// Writing to the pipe never blocks.
    func send(_ end: End) {
        guard let descriptor else { return }
        signal(SIGPIPE, SIG_IGN)
        let line = Array(end.line.utf8)
        _ = write(descriptor, line, line.count)
    }
}
