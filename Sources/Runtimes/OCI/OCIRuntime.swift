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

    /// crun where it is installed, else runc.
    static func find() throws(RuntimeError) -> OCIRuntime {
        let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        func path(_ name: String) -> String? { folders.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 } }
        if let crun = path("crun") {
            let isHybrid = access(hybridTree + "/cgroup.controllers", F_OK) == 0
            return OCIRuntime(executable: crun, hiddenMount: isHybrid ? hybridTree : nil)
        }
        if let runc = path("runc") { return OCIRuntime(executable: runc, hiddenMount: nil) }
        throw .missingTool("crun", package: "crun")
    }

    /// Starts a container, detached; `log` takes its output and the program's own complaints.
    func run(_ id: String, bundle: String, pidFile: String, log: CInt) throws(RuntimeError) {
        let code = try execute(["run", "--detach", "--bundle", bundle, "--pid-file", pidFile, id], log: log)
        guard code == 0 else { throw .startFailed(id: id, reason: "\(executable) ended with \(code)") }
    }

    /// Takes away what the program keeps of a container, running or not, known or not.
    func delete(_ id: String) throws(RuntimeError) {
        let null = open("/dev/null", O_WRONLY | O_CLOEXEC)
        defer { close(null) }
        _ = try execute(["delete", "--force", id], log: null)
    }

    private func execute(_ arguments: [String], log: CInt) throws(RuntimeError) -> Int32 {
        let words = ([executable] + arguments).map { strdup($0) } + [nil]
        let hidden = hiddenMount.map { strdup($0) } ?? nil
        let path = strdup("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        defer { for text in words + [hidden, path] { free(text) } }
        let pid = words.withUnsafeBufferPointer { words in
            [path, nil].withUnsafeBufferPointer { environment in
                var options = linux_spawn_options()
                options.executable = UnsafePointer(words[0])
                options.arguments = words.baseAddress
                options.environment = environment.baseAddress
                (options.input, options.output, options.error) = (-1, log, log)
                (options.user, options.group) = (-1, -1)
                options.private_mounts = hidden == nil ? 0 : 1
                options.hidden_mount = UnsafePointer(hidden)
                return linux_spawn(&options)
            }
        }
        guard pid > 0 else { throw .system(action: "starting \(executable)", reason: String(cString: strerror(-pid))) }
        var state: Int32 = 0
        while waitpid(pid, &state, 0) < 0 && errno == EINTR {}
        return state & 0x7f == 0 ? state >> 8 & 0xff : 128 + state & 0x7f
    }
}
