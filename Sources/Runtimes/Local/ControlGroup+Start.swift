import Netfilter

#if canImport(Glibc)
    import Glibc
#endif

/// A control group of version 1 for a container that is started in it.
///
/// An OCI runtime moves the container's process by its number. The kernel lets no process of the machine begin or end meanwhile, and
/// first waits until that is so: 8 to 30 ms with 250 ticks a second, unless something was moved a moment before. A process
/// that moves its only thread itself waits for nothing (`ProcessLaunch.joined`). So crun is started in the group and told to
/// leave groups alone, and what it does with them is done here.
extension ControlGroup {
    /// Where version 1 has its groups, each once: some have other names, too, which are links. Where systemd runs, also the tree of
    /// version 2 that may stand beside them: by that it knows what ends with a service, and a sandbox does not. To join it is to wait as
    /// above, so elsewhere it is left out.
    private static var trees: [String] {
        let needed = access("/run/systemd/system", F_OK) == 0 ? "/cgroup.procs" : "/tasks"
        return entries(of: root).map { root + "/" + $0 }.filter { folder in
            var status = stat()
            return lstat(folder, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
                && access(folder + needed, F_OK) == 0
        }
    }

    /// Makes the programs' part in every hierarchy, with what limits them. The group itself is there (`make`).
    func makePrograms(_ limits: ResourceLimits) throws(RuntimeError) {
        let folders = [path.splitAtLastSlash.folder, path, programs.path]
        for tree in Self.trees {
            for folder in folders.map({ tree + $0 }) {
                guard mkdir(folder, 0o755) == 0 || errno == EEXIST else { throw Self.failure(folder) }
                try Self.inheritProcessors(folder)
            }
        }
        func file(_ controller: String, _ name: String) -> String {
            "\(Self.root)/\(controller)\(programs.path)/\(name)"
        }
        try Self.require(String(limits.processes), file("pids", "pids.max"))
        if let bytes = limits.memoryBytes.map(String.init) {
            try Self.require(bytes, file("memory", "memory.limit_in_bytes"))
            try Self.set(bytes, file("memory", "memory.memsw.limit_in_bytes"))
        }
        if let cpu = limits.cpuMillis {
            let (quota, period) = BundleConfiguration.processorTime(millis: cpu)
            try Self.require(String(period), file("cpu", "cpu.cfs_period_us"))
            try Self.require(String(quota), file("cpu", "cpu.cfs_quota_us"))
        }
        for (name, line) in DeviceRule.version1Lines { try Self.require(line, file("devices", "devices." + name)) }
    }

    /// The files by which a process of one thread joins the programs' part. The caller closes them.
    func openPrograms() throws(RuntimeError) -> [CInt] {
        // What joins one that is frozen stands still, and the thread that starts it with it.
        guard !programs.isFrozen else {
            throw .system(action: "starting in \(programs.path)", reason: "a control group above it is frozen")
        }
        var opened: [CInt] = []
        for folder in Self.trees.map({ $0 + programs.path }) {
            // Version 2 moves processes only.
            let file = folder + (access(folder + "/tasks", F_OK) == 0 ? "/tasks" : "/cgroup.procs")
            let descriptor = open(file, O_WRONLY | O_CLOEXEC)
            guard descriptor >= 0 else {
                let failure = Self.failure(file)
                for descriptor in opened { close(descriptor) }
                throw failure
            }
            opened.append(descriptor)
        }
        return opened
    }

    /// A new group has no processors and no memory, and nobody can join it, until it is told which.
    private static func inheritProcessors(_ folder: String) throws(RuntimeError) {
        for name in ["cpuset.cpus", "cpuset.mems"] {
            let file = folder + "/" + name
            guard access(file, F_OK) == 0, read(file).isEmpty else { continue }
            try require(read(folder.splitAtLastSlash.folder + "/" + name), file)
        }
    }

    /// Not without its limits: where there is no such file, it cannot be started.
    private static func require(_ text: String, _ file: String) throws(RuntimeError) {
        guard write(text, to: file) else { throw failure(file) }
    }
}
