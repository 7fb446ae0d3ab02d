import Netfilter
import System

#if canImport(Glibc)
    import Glibc
#endif

/// A sandbox's group has two parts, so that execd still answers when programs use up memory, processor time and
/// processes. Programs are in one part, which has the requested limits and is all they see. Init and execd are in the
/// other.
extension ControlGroup {
    /// What init and execd get in addition to the programs' limits.
    private enum Reserve {
        /// Bytes, for their own memory, socket buffers, and commands' output that they hold.
        static let memory: Int64 = 32 << 20
        static let processes = 64
        /// Thousandths of a processor beyond what the programs have: init and execd have processor time of their own, since
        /// one quota for both parts stops both. A thousand processes that wait for memory spend it in the kernel, which
        /// takes it from later periods: execd stood still for as long as 20 s.
        static let cpuMillis = 100
        /// A hundred times the programs' default weight, for version 1 and version 2.
        static let shares = "102400", weight = "10000"
    }

    /// The programs' part, which the OCI runtime gets. It is the root of the sandbox's cgroup namespace, so programs
    /// see no other.
    var programs: ControlGroup { ControlGroup(path: path + "/programs") }
    var server: ControlGroup { ControlGroup(path: path + "/execd") }

    /// The controllers with separate parts. For others, version 1 has only the programs' group.
    private static let controllers = ["memory", "cpu", "pids"]
    private static var hierarchies: [String] {
        isVersion2 ? [root] : controllers.map { "\(root)/\($0)" }.filter { access($0, F_OK) == 0 }
    }

    /// The descriptors of the parts' files in init, in the order of `openParts()`.
    static var numbersInside: (server: [CInt], programs: [CInt]) {
        let count = CInt(hierarchies.count)
        return ((0..<count).map { 3 + $0 }, (0..<count).map { 3 + count + $0 })
    }

    /// The descriptor behind these.
    static var nextInside: CInt { 3 + 2 * CInt(hierarchies.count) }

    /// Creates the group and its parts, and sets the limits of the whole.
    func make(_ limits: ResourceLimits) throws(RuntimeError) {
        for hierarchy in Self.hierarchies {
            let whole = hierarchy + path
            guard Self.make(whole, in: hierarchy + path.splitAtLastSlash.folder) else { throw Self.failure(whole) }
            for folder in [hierarchy + programs.path, hierarchy + server.path] {
                guard mkdir(folder, 0o755) == 0 || errno == EEXIST else { throw Self.failure(folder) }
            }
        }
        // Ignore missing controllers here. If a limit needs one, the OCI runtime reports it.
        if Self.isVersion2 {
            let whole = Self.root + path
            for folder in [Self.root, Self.root + path.splitAtLastSlash.folder, whole] {
                for controller in Self.controllers {
                    _ = Self.write("+" + controller, to: folder + "/cgroup.subtree_control")
                }
            }
            try limitVersion2(limits)
        } else {
            try limitVersion1(limits)
        }
    }

    /// Makes a group below one that is empty, and that another server's uninstallation may take away meanwhile.
    private static func make(_ folder: String, in parent: String) -> Bool {
        for _ in 0..<3 {
            guard mkdir(parent, 0o755) == 0 || errno == EEXIST else { return false }
            if mkdir(folder, 0o755) == 0 || errno == EEXIST { return true }
            guard errno == ENOENT else { return false }
        }
        return false
    }

    private func limitVersion2(_ limits: ResourceLimits) throws(RuntimeError) {
        let whole = Self.root + path, server = Self.root + server.path
        try Self.set(String(limits.processes + Reserve.processes), whole + "/pids.max")
        if let bytes = limits.memoryBytes {
            try Self.set(String(bytes.addingWithoutOverflow(Reserve.memory)), whole + "/memory.max")
            try Self.set("0", whole + "/memory.swap.max")
        }
        if let cpu = limits.cpuMillis {
            let (quota, period) = Self.processorTimeOfServer(cpu)
            try Self.set("\(quota) \(period)", server + "/cpu.max")
            try Self.set(String(ProcessorShare(millis: cpu).weight), whole + "/cpu.weight")
        }
        // The OCI runtime limits the devices of the programs' group only, and allows more than it is told. A device opens
        // only if the program of every group above allows it, too.
        let code = DeviceRule.limitVersion2(whole)
        guard code == 0 else {
            throw .system(action: "limiting the devices of \(whole)", reason: String(cString: strerror(-code)))
        }
        try Self.set(Reserve.weight, server + "/cpu.weight")
        try Self.set(String(Reserve.memory), server + "/memory.min")
    }

    private func limitVersion1(_ limits: ResourceLimits) throws(RuntimeError) {
        func file(_ controller: String, _ name: String, of group: ControlGroup) -> String {
            "\(Self.root)/\(controller)\(group.path)/\(name)"
        }
        try Self.set(String(limits.processes + Reserve.processes), file("pids", "pids.max", of: self))
        if let bytes = limits.memoryBytes.map({ $0.addingWithoutOverflow(Reserve.memory) }) {
            try Self.set(String(bytes), file("memory", "memory.limit_in_bytes", of: self))
            try Self.set(String(bytes), file("memory", "memory.memsw.limit_in_bytes", of: self))
        }
        if let cpu = limits.cpuMillis {
            let (quota, period) = Self.processorTimeOfServer(cpu)
            try Self.set(String(period), file("cpu", "cpu.cfs_period_us", of: server))
            try Self.set(String(quota), file("cpu", "cpu.cfs_quota_us", of: server))
            try Self.set(String(ProcessorShare(millis: cpu).shares), file("cpu", "cpu.shares", of: self))
        }
        try Self.set(Reserve.shares, file("cpu", "cpu.shares", of: server))
    }

    private static func processorTimeOfServer(_ cpuMillis: Int) -> (quota: Int64, period: UInt64) {
        BundleConfiguration.processorTime(millis: cpuMillis.addingWithoutOverflow(Reserve.cpuMillis))
    }

    /// Takes away the devices that the OCI runtime has allowed beyond its bundle's list. For version 1, where this is only
    /// possible once the container runs; both parts share one list there.
    func denyAddedDevices() throws(RuntimeError) {
        let folder = "\(Self.root)/devices\(programs.path)"
        guard !Self.isVersion2, let list = File.text(folder + "/devices.list") else { return }
        for line in list.split(separator: "\n") where DeviceRule.isAdded(line) {
            try Self.set(String(line), folder + "/devices.deny")
        }
    }

    /// Opens the files for joining the parts, execd's first. Init inherits them, since it may not open them itself.
    func openParts() throws(RuntimeError) -> [CInt] {
        // With version 1, moving a single thread is cheaper: moving a process makes all processes of the machine wait.
        let name = Self.isVersion2 ? "cgroup.procs" : "tasks"
        var opened: [CInt] = []
        for group in [server, programs] {
            for hierarchy in Self.hierarchies {
                let file = "\(hierarchy)\(group.path)/\(name)"
                let descriptor = open(file, O_WRONLY | O_CLOEXEC)
                guard descriptor >= 0 else {
                    for descriptor in opened { close(descriptor) }
                    throw Self.failure(file)
                }
                opened.append(descriptor)
            }
        }
        return opened
    }

    /// Does nothing if there is no such file.
    static func set(_ text: String, _ file: String) throws(RuntimeError) {
        guard access(file, F_OK) != 0 || write(text, to: file) else { throw failure(file) }
    }

    static func failure(_ path: String) -> RuntimeError {
        .system(action: "making \(path)", reason: String(cString: strerror(errno)))
    }
}

/// A sandbox's part of a busy machine's processors, in proportion to its limit, as container engines have it.
struct ProcessorShare: Hashable, Sendable {
    /// For version 1: 1024 for a processor, 2 to 262144.
    let shares: Int
    /// For version 2, the same range as 1 to 10000.
    let weight: Int

    init(millis: Int) {
        let (product, overflow) = max(0, millis).multipliedReportingOverflow(by: 1024)
        shares = min(max(2, overflow ? .max : product / 1000), 262_144)
        weight = 1 + (shares - 2) * 9999 / 262_142
    }
}

extension FixedWidthInteger {
    /// The sum, or the largest number if it overflows.
    fileprivate func addingWithoutOverflow(_ other: Self) -> Self {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}

extension ControlGroup {
    /// The group of the programs that show buckets, which no limit holds. They are not in the server's own: a service manager that
    /// ends or starts it anew ends what is there, and sandboxes would lose the files that they have.
    static let storagePath = "/sallyport-storage"

    /// The files by which a process joins it (`ProcessLaunch.joined`); the caller closes them. None where it cannot be made.
    static func storage() -> [CInt] {
        // Where the service manager looks: of version 1 its own hierarchy.
        let hierarchies = isVersion2 ? [root] : [root + "/systemd", root + "/unified"]
        return hierarchies.filter { access($0 + "/cgroup.procs", F_OK) == 0 }.compactMap { hierarchy in
            let folder = hierarchy + storagePath
            guard mkdir(folder, 0o755) == 0 || errno == EEXIST else { return nil }
            let file = open(folder + "/cgroup.procs", O_WRONLY | O_CLOEXEC)
            return file < 0 ? nil : file
        }
    }
}
