#if canImport(Glibc)
    import Glibc
#endif

/// A file that one program holds. The kernel gives it back when the program ends, however it ends.
final class InstanceLock: Sendable {
    let descriptor: CInt

    /// - Throws: `Taken` when another program holds it; `ConfigurationError` when it cannot be opened.
    init(path: String) throws {
        // Of its own name until it is held: an initializer that throws after the last property is set runs `deinit`, too,
        // and the second close would be of whatever another thread has opened meanwhile.
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            throw ConfigurationError("\(path) cannot be opened: \(String(cString: strerror(errno))); run as root")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            var bytes = [UInt8](repeating: 0, count: 20)
            let count = pread(descriptor, &bytes, bytes.count, 0)
            close(descriptor)
            throw Taken(process: Int(String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)))
        }
        // For people who want to know whose it is.
        let text = "\(getpid())"
        _ = ftruncate(descriptor, 0)
        _ = pwrite(descriptor, text, text.utf8.count, 0)
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Another program has it.
    struct Taken: Error, CustomStringConvertible {
        let process: Int?
        var description: String { "another sallyport" + (process.map { " (process \($0))" } ?? "") }
    }
}

/// What two programs of one machine must not share: each would take away or use what is the other's. Taken before anything
/// is made, so that the one that is refused has nothing to take away when it ends.
struct InstanceLocks: Sendable {
    private let held: [InstanceLock]

    var descriptors: [CInt] { held.map(\.descriptor) }

    /// A server's, with those of a guard where it has none beside it.
    static func server(_ settings: Settings) throws -> InstanceLocks {
        var held = try folders(settings, role: "server")
        if !settings.egress.isExternal { held += try folders(settings, role: "guard") }
        return InstanceLocks(held: held + (try MachineLocks().take(settings.local)))
    }

    /// How long parts of a server that was killed may take to end.
    private static let patience = Duration.seconds(5)

    /// A server's, for all of its processes. Those of one that was killed end by themselves, and hold its locks until then.
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

    /// Those of a guard in a process of its own.
    static func guardAlone(_ settings: Settings) throws -> InstanceLocks {
        InstanceLocks(held: try folders(settings, role: "guard"))
    }

    /// A server and a guard work in one state folder and one run folder side by side, two of a kind never.
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
