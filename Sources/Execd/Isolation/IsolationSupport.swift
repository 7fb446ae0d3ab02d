import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// What isolated sessions can do here, found by building some.
struct IsolationSupport: Hashable, Sendable {
    /// nil where it works, else why not.
    var setpriv, userns, overlay: String?

    var isAvailable: Bool { setpriv == nil || userns == nil }

    /// nil where everything works.
    var message: String? {
        guard isAvailable else {
            return
                "no isolated session can be made: \(setpriv ?? ""). execd needs CAP_SYS_ADMIN and CAP_NET_ADMIN in the user namespace of its "
                + "container, and the calls unshare, setns, mount, open_tree, move_mount and mount_setattr; with a Sallyport or "
                + "OpenSandbox server, create the sandbox with the extension bootstrap.execd.isolation=enable"
        }
        let missing = [("uid_mode setpriv", setpriv), ("uid_mode userns", userns), ("mode overlay", overlay)]
            .compactMap { name, reason in reason.map { "\(name): \($0)" } }
        return missing.isEmpty ? nil : missing.joined(separator: "; ")
    }

    static func none(_ reason: String) -> IsolationSupport {
        IsolationSupport(setpriv: reason, userns: reason, overlay: reason)
    }

    /// Builds sessions that run nothing, and removes them. May take as long as the kernel does.
    static func probe(_ host: SessionHost) -> IsolationSupport {
        let userns = trial(host, hasOwnUsers: true, .writable)
        guard let reason = trial(host, hasOwnUsers: false, .layer) else {
            return IsolationSupport(setpriv: nil, userns: userns, overlay: nil)
        }
        // Where it is overlays that do not work, sessions without them may.
        return IsolationSupport(setpriv: trial(host, hasOwnUsers: false, .writable), userns: userns, overlay: reason)
    }

    /// - Returns: nil if it works.
    private static func trial(_ host: SessionHost, hasOwnUsers: Bool, _ kind: SessionPlan.Mount.Kind) -> String? {
        guard let path = ["/workspace", "/tmp", "/mnt", "/home", "/usr"].first(where: FileStatus.isFolder) else {
            return "there is no folder to try it with"
        }
        let plan = SessionPlan(
            folder: CommandRunner.identifier(), mounts: [.init(path: path, kind: kind)], bindings: [],
            allowedSources: [],
            hasOwnTemporaryFolder: true, sharesNetwork: false, user: 65534, group: 65534, hasOwnUsers: hasOwnUsers,
            memoryBytes: 1 << 20, shell: [CommandEnvironment.anyShell], environment: [], directory: "/")
        do throws(SessionFailure) {
            let ended = Semaphore()
            let open = try host.open(plan) { event in if case .ended = event { ended.signal() } }
            open.dialogue.end()
            _ = linux_pidfd_send_signal(open.pidfd, SIGKILL)
            ended.wait(until: SystemClock.monotonicNanoseconds() + 5_000_000_000)
            close(open.pidfd)
        } catch { return error.reason }
        try? host.remove(plan.folder)
        return nil
    }
}
