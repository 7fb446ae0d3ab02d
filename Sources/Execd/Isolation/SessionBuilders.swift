import CLinux
import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Starts the process that starts isolated sessions, and holds the socket by which it is asked to. Both ends outlive it and the
/// server, so that either can be started again.
///
/// Building a session takes calls and capabilities that nothing else in a sandbox has. Only init, the starter, and the first
/// process of a session until it has been built hold them; all three are this program, whose file nobody in the sandbox can
/// change, and they run no code of anybody else's.
struct SessionBuilders {
    /// Where sessions are asked for.
    let asking: CInt
    private let answering: CInt
    private let folder: String
    private let executable: String
    private let group: MemberFiles

    /// Capabilities over the sandbox's mounts, and over networks that sessions have for themselves.
    private static let capabilities: UInt64 = 1 << 21 | 1 << UInt64(LINUX_CAP_NET_ADMIN)

    /// Whether this process could build sessions.
    static var arePossible: Bool { linux_permitted_capabilities() & Int64(capabilities) == Int64(capabilities) }

    /// - Parameters:
    ///   - folder: for what sessions change.
    ///   - executable: this program.
    ///   - group: the control group that sessions are in.
    init?(folder: String, executable: String, group: MemberFiles) {
        var ends: [CInt] = [-1, -1]
        let kind = Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard Self.arePossible, socketpair(AF_UNIX, kind, 0, &ends) == 0 else { return nil }
        (asking, answering) = (ends[0], ends[1])
        (self.folder, self.executable, self.group) = (folder, executable, group)
    }

    /// What everything else that init starts gives up.
    var others: ProcessLaunch.Confinement {
        let permitted = UInt64(max(0, linux_permitted_capabilities()))
        return ProcessLaunch.Confinement(capabilities: permitted & ~Self.capabilities, refusals: .namespaces)
    }

    /// - Returns: the starter's pid; nil if it cannot be started, and there are no sessions.
    func start() -> pid_t? {
        let passed = group.descriptors + [answering]
        var words = [
            executable, "--part", Options.Part.sessionStarter.rawValue, "--isolation", folder, "--builder",
            String(2 + passed.count),
        ]
        if !group.isEmpty { words += ["--command-group", group.passed.description] }
        let spec = ProcessSpec(arguments: words, environment: [:], rank: .server, keepsRights: true)
        return try? Spawn.start(spec, output: STDERR_FILENO, error: STDERR_FILENO, passed: passed)
    }
}
