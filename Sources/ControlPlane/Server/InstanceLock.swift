#if canImport(Glibc)
    import Glibc
#endif

/// Keeps a second program off the same state: it would take sockets and redirections over before it fails at a port, and
/// names would resolve no more. The kernel gives the lock back when the program ends, however it ends.
final class InstanceLock: Sendable {
    private let descriptor: CInt

    /// - Parameter role: what is locked; a server and a separate guard work on one state side by side.
    init(_ settings: Settings, role: String) throws(ConfigurationError) {
        let path = settings.local.stateDirectory + "/" + role + ".lock"
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw ConfigurationError("\(path) cannot be opened: \(String(cString: strerror(errno)))")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw ConfigurationError(
                "another sallyport works on \(settings.local.stateDirectory): stop it, or give this one a local.state_dir, "
                    + "run_dir, tag and address_pool of its own")
        }
    }

    deinit { close(descriptor) }
}
