import CLinux
import Logging
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// The users of a sandbox that is being created: their ids on this machine, and their namespace until it has a process.
struct SandboxUsers: Hashable, Sendable {
    let range: IdentifierRange
    /// The namespace's descriptor; `UserNamespaces` closes it.
    let descriptor: CInt

    /// The path for other programs to open the namespace.
    var namespacePath: String { "/proc/\(getpid())/fd/\(descriptor)" }
}

/// Creates a user namespace for each sandbox, so that its root is unprivileged outside, and per-user limits of the
/// kernel apply per sandbox. If the machine does not support it, sandboxes are created without, and a warning is
/// logged.
final class UserNamespaces: Sendable {
    /// Why user namespaces do not work; nil if they do.
    let obstacle: String?

    private let leases: IdentifierLeases
    private let mode: UserNamespaceSettings.Mode
    private let logger: Logger
    /// By the sandbox's folder.
    private let waiting = Mutex<[String: SandboxUsers]>([:])

    /// - Parameter trial: tests a user namespace, and throws if it does not work.
    /// - Throws: `RuntimeError.noUserNamespaces` if they are required and do not work.
    init(
        _ leases: IdentifierLeases, logger: Logger, trial: (UserNamespaces) throws(RuntimeError) -> Void
    ) throws(RuntimeError) {
        self.leases = leases
        self.logger = logger
        mode = leases.settings.mode
        guard mode != .off else {
            obstacle = "turned off by local.user_namespaces"
            return
        }
        let tried = UserNamespaces(trying: leases, logger)
        do throws(RuntimeError) {
            try trial(tried)
            obstacle = nil
        } catch {
            guard mode != .required else { throw .noUserNamespaces("\(error)") }
            obstacle = "\(error)"
            logger.warning(
                "sandboxes have no user namespaces: their root is this machine's root, with less isolation",
                metadata: ["error": "\(error)"])
        }
    }

    private init(trying leases: IdentifierLeases, _ logger: Logger) {
        (self.leases, self.logger, mode, obstacle) = (leases, logger, .required, nil)
    }

    /// Ids and a namespace for the sandbox in an existing folder; nil if there are none.
    func make(for folder: SandboxFolder, near number: UInt32) throws(RuntimeError) -> SandboxUsers? {
        guard obstacle == nil else { return nil }
        let range = try leases.lease(for: folder.path, near: number)
        let descriptor = linux_user_namespace(range.first, IdentifierRange.size)
        guard descriptor >= 0 else {
            leases.release(range, of: folder.path)
            throw .system(action: "making a user namespace", reason: String(cString: strerror(-descriptor)))
        }
        let users = SandboxUsers(range: range, descriptor: descriptor)
        waiting.withLock { $0[folder.path] = users }
        return users
    }

    /// Called if an image's file system does not support it: the sandbox is created without, if allowed.
    func giveUp(_ users: SandboxUsers, in folder: SandboxFolder, image: String, because error: RuntimeError)
        throws(RuntimeError)
    {
        guard mode != .required else { throw error }
        end(users.range, in: folder)
        logger.warning(
            "a sandbox has no user namespace: its image cannot be mounted with other owners",
            metadata: ["image": "\(image)", "error": "\(error)"])
    }

    /// What was made for the sandbox and not started yet.
    func waiting(in folder: SandboxFolder) -> SandboxUsers? { waiting.withLock { $0[folder.path] } }

    /// Called when its first process has the namespace, or there will be none.
    func started(in folder: SandboxFolder) {
        if let users = waiting.withLock({ $0.removeValue(forKey: folder.path) }) { close(users.descriptor) }
    }

    func occupy(_ range: IdentifierRange?, in folder: SandboxFolder) throws(RuntimeError) {
        if let range { try leases.occupy(range, for: folder.path) }
    }

    func end(_ range: IdentifierRange?, in folder: SandboxFolder) {
        started(in: folder)
        if let range { leases.release(range, of: folder.path) }
    }

    /// A description for diagnostics.
    func description(of range: IdentifierRange?) -> String {
        guard let range else {
            return "no user namespace: "
                + (obstacle ?? "its image cannot be mounted with other owners, or a server without them made it")
        }
        return "user namespace: ids \(range.all.lowerBound) to \(range.all.upperBound) of the machine"
    }
}
