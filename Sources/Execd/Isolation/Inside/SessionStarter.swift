import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Starts the first processes of isolated sessions, each in a pid namespace of its own. It knows nothing of them: a request is a
/// socket, which the session's first process gets, and by which it hears the rest.
enum SessionStarter {
    static func run(_ options: Options) -> Int32 {
        guard let socket = options.builder, let folder = options.isolation else { return 2 }
        _ = linux_set_dumpable(0)
        // Those that have ended are nobody's business here: who asked for them has a descriptor of the process.
        signal(SIGCHLD, SIG_IGN)
        let own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC)
        guard own >= 0 else { return 1 }
        let requests = SessionChannel(descriptor: socket)
        _ = linux_close_all_on_exec()
        while true {
            guard let request = try? requests.receive(), !request.text.isEmpty else { return 0 }
            guard request.passed >= 0 else { continue }
            start(request.passed, folder, options.commandGroup)
            // For children only; this process stays where it is.
            _ = linux_setns(own, 0x2000_0000)
            close(request.passed)
        }
    }

    /// Where it fails, the socket is closed, and who asked sees that.
    private static func start(_ socket: CInt, _ folder: String, _ group: MemberFiles) {
        guard linux_unshare(0x2000_0000 /* CLONE_NEWPID */) == 0 else { return }
        let spec = ProcessSpec(
            arguments: ["/proc/self/exe", "--part", Options.Part.session.rawValue, "--isolation", folder],
            environment: [:], joins: group.descriptors)
        _ = try? Spawn.start(spec, output: STDERR_FILENO, error: STDERR_FILENO, passed: [socket])
    }
}
