import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The program that runs a bundle as a container.
struct OCIRuntime: Hashable, Sendable {
    enum Kind: Hashable, Sendable {
        /// crun or runc: processes of this machine's kernel.
        case containers
        /// runsc: processes of a kernel that is a program of this machine's.
        case gVisor
    }

    var kind = Kind.containers
    let executable: String
    /// What comes before the program's commands.
    var options: [String] = []
    /// A folder that is empty for the program. crun refuses hybrid cgroups (version 1 controllers beside a version 2 tree), but
    /// works where it does not see that tree, and starts in a quarter of runc's time. It makes folders there all the same, which
    /// would fail below systemd's mount that is read-only, and stay where it can be written to.
    var hiddenFolder: String?

    /// Whether it leaves control groups alone, so that it has to be started in the container's.
    var isStartedInGroup = false

    /// How long the program may take to start a container, or to remove what it knows of one. It takes milliseconds; on a machine
    /// that has far too much to do, seconds.
    var milliseconds = 60_000

    private static let hybridTree = "/sys/fs/cgroup/unified"

    /// The given one, else crun if installed, else runc.
    static func find(_ name: String? = nil) throws(RuntimeError) -> OCIRuntime {
        if name != "runc", let crun = path("crun") {
            let isHybrid = access(hybridTree + "/cgroup.controllers", F_OK) == 0
            var runtime = OCIRuntime(executable: crun, hiddenFolder: isHybrid ? hybridTree : nil)
            if !ControlGroup.isVersion2 {
                (runtime.options, runtime.isStartedInGroup) = (["--cgroup-manager=disabled"], true)
            }
            return runtime
        }
        if name != "crun", let runc = path("runc") { return OCIRuntime(executable: runc, hiddenFolder: nil) }
        throw .missingTool(name ?? "crun", package: name ?? "crun")
    }

    static func path(_ name: String) -> String? {
        ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"].map { "\($0)/\(name)" }
            .first { access($0, X_OK) == 0 }
    }

    /// Starts the container of a folder. `log` gets its output and the program's own errors.
    ///
    /// - Parameters:
    ///   - detached: whether to write its pid to the folder and let it run, rather than wait for its end.
    ///   - input: the standard input of its first process; nil for an empty one.
    ///   - passed: descriptors that its first process has as 3, 4 and so on.
    ///   - joined: files of the control groups in which it is started (`isStartedInGroup`).
    func run(
        _ id: String, _ view: RuntimeView, detached: Bool, input: CInt? = nil, passed: [CInt] = [],
        joined: [CInt] = [], log: CInt
    ) throws(RuntimeError) {
        // Not /dev/null, because the programs change the owner of their standard streams to the container's root, and
        // /dev/null is shared.
        var ends: [CInt] = [-1, -1]
        guard linux_pipe(&ends) == 0 else { throw .system(action: "making a pipe", reason: "no descriptor is left") }
        close(ends[1])
        defer { close(ends[0]) }
        let words =
            ["run", "--bundle", RuntimeView.folder.bundle]
            + (passed.isEmpty ? [] : ["--preserve-fds", String(passed.count)])
            + (detached ? ["--detach", "--pid-file", RuntimeView.folder.pidFile] : [])
        let code = try execute(words + [id], view, input: input ?? ends[0], passed: passed, joined: joined, log: log)
        guard let code else {
            throw .startFailed(
                id: id,
                reason:
                    "\(executable) has not started it within \(milliseconds / 1000) s: a control group above it may "
                    + "be frozen, or storage of a volume may not answer")
        }
        guard code == 0 else { throw .startFailed(id: id, reason: "\(executable) ended with \(code)") }
    }

    /// Removes the program's state of a container, whether it runs or is known or not.
    func delete(_ id: String) throws(RuntimeError) {
        let null = open("/dev/null", O_WRONLY | O_CLOEXEC)
        defer { close(null) }
        guard try execute(["delete", "--force", id], nil, input: -1, log: null) != nil else {
            throw .system(
                action: "removing \(id)", reason: "\(executable) has not ended within \(milliseconds / 1000) s")
        }
    }

    /// - Returns: nil if it took too long.
    private func execute(
        _ arguments: [String], _ view: RuntimeView?, input: CInt, passed: [CInt] = [], joined: [CInt] = [], log: CInt
    ) throws(RuntimeError) -> Int32? {
        var launch = ProcessLaunch(
            [executable] + options + arguments,
            environment: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
        )
        (launch.input, launch.output, launch.error) = (input, log, log)
        let bindings = view?.bindings ?? []
        if hiddenFolder != nil || !bindings.isEmpty {
            launch.mounts = ProcessLaunch.Mounts()
            launch.mounts!.hidden = hiddenFolder
            launch.mounts!.bindings = bindings.map { ($0.source, $0.target) }
            launch.mounts!.attachments = view?.attachments ?? []
        }
        (launch.passed, launch.joined) = (passed, joined)
        launch.networkNamespace = view?.networkNamespace
        do throws(SystemCallError) {
            let pid = try start(launch)
            return ProcessExit.of(pid, within: milliseconds) { kill(pid, SIGKILL) }?.code
        } catch {
            throw .system(action: "starting \(executable)", reason: "\(error)")
        }
    }

    private func start(_ launch: ProcessLaunch) throws(SystemCallError) -> pid_t {
        guard kind == .containers, let sealed = SealedProgram.of(executable) else { return try launch.start() }
        defer { withExtendedLifetime(sealed) {} }
        var launch = launch
        launch.program = sealed.path
        return try launch.start()
    }
}
