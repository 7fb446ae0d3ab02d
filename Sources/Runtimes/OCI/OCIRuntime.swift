import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// The program that turns a bundle into a container.
struct OCIRuntime: Hashable, Sendable {
    let executable: String
    /// A mount that the program must not see: crun refuses cgroups where version 1 controllers stand beside a version 2
    /// tree. In a mount namespace without that tree it works, and starts in a quarter of runc's time.
    let hiddenMount: String?

    private static let hybridTree = "/sys/fs/cgroup/unified"

    /// The one named, or crun where it is installed, else runc.
    static func find(_ name: String? = nil) throws(RuntimeError) -> OCIRuntime {
        let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        func path(_ name: String) -> String? { folders.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 } }
        if name != "runc", let crun = path("crun") {
            let isHybrid = access(hybridTree + "/cgroup.controllers", F_OK) == 0
            return OCIRuntime(executable: crun, hiddenMount: isHybrid ? hybridTree : nil)
        }
        if name != "crun", let runc = path("runc") { return OCIRuntime(executable: runc, hiddenMount: nil) }
        throw .missingTool(name ?? "crun", package: name ?? "crun")
    }

    /// Starts the container of a folder; `log` takes its output and the program's own complaints.
    ///
    /// - Parameters:
    ///   - detached: leave its process's number in the folder and let it run; otherwise wait for its end.
    ///   - input: what its first process has as standard input; nil for an empty one.
    ///   - passed: descriptors that its first process has as 3, 4 and so on.
    func run(
        _ id: String, _ view: RuntimeView, detached: Bool, input: CInt? = nil, passed: [CInt] = [], log: CInt
    ) throws(RuntimeError) {
        // Not /dev/null: the programs give what is on their standard streams to the container's root, and that one is
        // everybody's.
        var ends: [CInt] = [-1, -1]
        guard linux_pipe(&ends) == 0 else { throw .system(action: "making a pipe", reason: "no descriptor is left") }
        close(ends[1])
        defer { close(ends[0]) }
        let words =
            ["run", "--bundle", RuntimeView.folder.bundle, "--preserve-fds", String(passed.count)]
            + (detached ? ["--detach", "--pid-file", RuntimeView.folder.pidFile] : [])
        let code = try execute(words + [id], view, input: input ?? ends[0], passed: passed, log: log)
        guard code == 0 else { throw .startFailed(id: id, reason: "\(executable) ended with \(code)") }
    }

    /// Takes away what the program keeps of a container, running or not, known or not.
    func delete(_ id: String) throws(RuntimeError) {
        let null = open("/dev/null", O_WRONLY | O_CLOEXEC)
        defer { close(null) }
        _ = try execute(["delete", "--force", id], nil, input: -1, log: null)
    }

    private func execute(
        _ arguments: [String], _ view: RuntimeView?, input: CInt, passed: [CInt] = [], log: CInt
    ) throws(RuntimeError) -> Int32 {
        let words = ([executable] + arguments).map { strdup($0) } + [nil]
        let hidden = hiddenMount.map { strdup($0) } ?? nil
        let namespace = (view?.networkNamespace).map { strdup($0) } ?? nil
        let path = strdup("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        let places = (view?.bindings ?? []).map { (source: strdup($0.source), target: strdup($0.target)) }
        defer {
            for text in words + [hidden, namespace, path] + places.flatMap({ [$0.source, $0.target] }) { free(text) }
        }
        let bindings = places.map { linux_binding(source: $0.source, target: $0.target) }
        let pid = words.withUnsafeBufferPointer { words in
            [path, nil].withUnsafeBufferPointer { environment in
                bindings.withUnsafeBufferPointer { bindings in
                    var options = linux_spawn_options()
                    options.executable = UnsafePointer(words[0])
                    options.arguments = words.baseAddress
                    options.environment = environment.baseAddress
                    (options.input, options.output, options.error) = (input, log, log)
                    (options.user, options.group) = (-1, -1)
                    options.private_mounts = hidden == nil && bindings.isEmpty ? 0 : 1
                    options.hidden_mount = UnsafePointer(hidden)
                    (options.bindings, options.binding_count) = (bindings.baseAddress, Int32(bindings.count))
                    options.network_namespace = UnsafePointer(namespace)
                    return passed.withUnsafeBufferPointer { passed in
                        (options.passed, options.passed_count) = (passed.baseAddress, Int32(passed.count))
                        return linux_spawn(&options)
                    }
                }
            }
        }
        guard pid > 0 else { throw .system(action: "starting \(executable)", reason: String(cString: strerror(-pid))) }
        var state: Int32 = 0
        while waitpid(pid, &state, 0) < 0 && errno == EINTR {}
        return state & 0x7f == 0 ? state >> 8 & 0xff : 128 + state & 0x7f
    }
}
