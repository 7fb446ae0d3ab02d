#if canImport(Glibc)
    import Glibc
#endif

/// A lock file. The kernel releases the lock when the program ends, for whatever reason.
final class InstanceLock: Sendable {
    let descriptor: CInt

    /// - Throws: `Taken` when another program holds it; `ConfigurationError` when it cannot be opened.
    init(path: String) throws {
        // Keep the descriptor in a local variable until the lock is held. An initializer that throws after the last
        // property is set also runs `deinit`, and its second close could hit a descriptor that another thread has
        // opened meanwhile.
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw ConfigurationError("\(path) cannot be opened: \(String(cString: strerror(errno))); run as root")
        }
        // Tried once, not as `FileLock` does: who starts looks at the locks of every server of the machine, and would wait for each.
        // `InstanceLocks.taken` waits for what is left of one that has ended.
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            var bytes = [UInt8](repeating: 0, count: 20)
            let count = pread(descriptor, &bytes, bytes.count, 0)
            close(descriptor)
            throw Taken(process: Int(String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)))
        }
        // The pid, for people who look.
        let text = "\(getpid())"
        _ = ftruncate(descriptor, 0)
        _ = pwrite(descriptor, text, text.utf8.count, 0)
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Whether the path still names what is locked. Between opening and locking, the file may have been removed, and another made.
    func isAt(_ path: String) -> Bool {
        var own = stat(), named = stat()
        return fstat(descriptor, &own) == 0 && lstat(path, &named) == 0
            && own.st_dev == named.st_dev && own.st_ino == named.st_ino
    }

    /// Another program holds it.
    struct Taken: Error, CustomStringConvertible {
        let process: Int?
        var description: String { "another sallyport" + (process.map { " (process \($0))" } ?? "") }
    }
}

/// Locks on everything that two servers of one machine must not share. Taken before anything is created, so that a
/// refused server has nothing to clean up.
struct InstanceLocks: Sendable {
    private let held: [InstanceLock]

    var descriptors: [CInt] { held.map(\.descriptor) }

    /// A server's locks, with those of a guard unless that runs in another process.
    static func server(_ settings: Settings) throws -> InstanceLocks {
        var held = try folders(settings, role: "server")
        if !settings.egress.isExternal { held += try folders(settings, role: "guard") }
        return InstanceLocks(held: held + (try MachineLocks().take(settings.local)))
    }

    /// How long the processes of a killed server may take to end.
    private static let patience = Duration.seconds(5)

    /// The locks of a server, for all its processes. The processes of a killed server end by themselves, and hold its
    /// locks until then.
    static func taken(_ settings: Settings) throws -> InstanceLocks {
        let deadline = ContinuousClock.now + patience
        while true {
            do { return try server(settings) } catch let error as ConfigurationError {
                guard Self.isGone(error.holder), ContinuousClock.now < deadline else { throw error }
                usleep(20_000)
            }
        }
    }

    private static func isGone(_ process: Int?) -> Bool {
        guard let pid = process.flatMap({ pid_t(exactly: $0) }), pid > 0 else { return false }
        return kill(pid, 0) != 0 && errno == ESRCH
    }

    /// The locks of a guard in its own process.
    static func guardAlone(_ settings: Settings) throws -> InstanceLocks {
        InstanceLocks(held: try folders(settings, role: "guard"))
    }

    /// A server and a guard may share a state folder and a run folder; two of a kind may not.
    private static func folders(_ settings: Settings, role: String) throws -> [InstanceLock] {
        let local = settings.local
        return try [("state_dir", local.stateDirectory), ("run_dir", local.runDirectory)].map { key, folder in
            do { return try InstanceLock(path: "\(folder)/\(role).lock") } catch let taken as InstanceLock.Taken {
                throw ConfigurationError(
                    "\(taken) uses \(folder): stop it, or give this one its own local.\(key); two servers also "
                        + "need different tags and address pools", holder: taken.process)
            }
        }
    }
}
