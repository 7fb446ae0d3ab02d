#if canImport(Glibc)
    import Glibc
#endif

/// Tells whoever started the sandbox how the entrypoint ended: one line, `exited 3`, `signalled 9`, or `failed 2 /program` with
/// the errno of a program that could not be started. An exit code of init could not tell the first two apart, and a parent of
/// its has gone.
struct EndReport {
    enum End: Hashable {
        case ended(ExitStatus)
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

    /// nil: nobody listens.
    let descriptor: CInt?

    /// Nothing waits for a listener: its pipe is not to block.
    func send(_ end: End) {
        guard let descriptor else { return }
        signal(SIGPIPE, SIG_IGN)
        let line = Array(end.line.utf8)
        _ = write(descriptor, line, line.count)
    }
}
