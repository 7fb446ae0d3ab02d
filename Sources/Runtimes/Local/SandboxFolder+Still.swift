import System

#if canImport(Glibc)
    import Glibc
#endif

/// Holding a running sandbox still, so that its files can be read as they are at one moment.
///
/// A file in its folder says that the server holds it, and not its client: whatever ends the server, the next one lets it
/// go.
extension SandboxFolder {
    private var mark: String { file("captured") }

    var isBeingCaptured: Bool { access(mark, F_OK) == 0 }

    /// How long its processes may take to come to rest.
    private static let patience = 10_000

    /// Runs `body` while the sandbox stands still, and leaves it as it was.
    ///
    /// - Parameter isPaused: whether it stands still already.
    /// - Throws: if it does not come to rest; what `body` throws.
    func still<Result>(
        isPaused: Bool, _ body: () throws(RuntimeError) -> Result
    ) throws(RuntimeError) -> Result {
        if !isPaused {
            try write("", to: "captured", mode: 0o600)
            guard group.setFrozen(true) else {
                let reason = String(cString: strerror(errno))
                letGo()
                throw .system(action: "holding the sandbox still", reason: reason)
            }
        }
        defer { letGo() }
        // The kernel does not tell when, with version 1 of control groups.
        for _ in 0..<Self.patience where !group.isStill { usleep(1000) }
        guard group.isStill else {
            throw .system(action: "holding the sandbox still", reason: "one of its processes does not stop")
        }
        return try body()
    }

    /// Ends a hold, this server's or an earlier one's. One that its client has paused stays so.
    func letGo() {
        guard isBeingCaptured else { return }
        // As long as it stands still, the mark says so to the next server.
        guard group.setFrozen(false) || group.folders.isEmpty else { return }
        unlink(mark)
    }
}
