import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// A sandbox's control group, with version 1 or version 2. Creating it is in `ControlGroup+Parts`, freezing and
/// removing it here.
struct ControlGroup: Hashable, Sendable {
    /// As in the bundle: `/sallyport/<id>`.
    let path: String

    static let root = "/sys/fs/cgroup"
    /// The group that those of all sandboxes of this machine are in, whichever server made them.
    static let sandboxesPath = "/sallyport"

    /// - Parameter name: the sandbox's public one.
    static func ofSandbox(_ name: String) -> ControlGroup { ControlGroup(path: sandboxesPath + "/" + name) }

    static var isVersion2: Bool { access(root + "/cgroup.controllers", F_OK) == 0 }

    var isFrozen: Bool {
        Self.isVersion2
            ? Self.read("\(Self.root)\(path)/cgroup.freeze") == "1"
            : ["FROZEN", "FREEZING"].contains(Self.read("\(Self.root)/freezer\(path)/freezer.state"))
    }

    /// Whether all of its processes stand still. Freezing takes a moment: a process in a system call ends that first.
    var isStill: Bool {
        Self.isVersion2
            ? (File.text("\(Self.root)\(path)/cgroup.events") ?? "").split(separator: "\n").contains("frozen 1")
            : Self.read("\(Self.root)/freezer\(path)/freezer.state") == "FROZEN"
    }

    /// - Returns: false if there is no such group.
    func setFrozen(_ frozen: Bool) -> Bool {
        Self.isVersion2
            ? Self.write(frozen ? "1" : "0", to: "\(Self.root)\(path)/cgroup.freeze")
            : Self.write(frozen ? "FROZEN" : "THAWED", to: "\(Self.root)/freezer\(path)/freezer.state")
    }

    /// How many processes in the group and its parts the kernel has killed for lack of memory.
    var memoryKills: UInt64 {
        // Version 1 counts each group by itself.
        Self.isVersion2
            ? Self.kills("\(Self.root)\(path)/memory.events")
            : [self, programs, server].map(\.path)
                .reduce(0) { $0 &+ Self.kills("\(Self.root)/memory\($1)/memory.oom_control") }
    }

    private static func kills(_ file: String) -> UInt64 {
        let lines = (File.text(file) ?? "").split(separator: "\n")
        return lines.first { $0.hasPrefix("oom_kill ") }.flatMap { UInt64($0.dropFirst(9)) } ?? 0
    }

    /// Whether a line of /proc/PID/cgroup says that a process is in it or in one of its parts.
    func holds(_ line: Substring) -> Bool {
        guard let colon = line.lastIndex(of: ":") else { return false }
        let group = line[colon...].dropFirst()
        return group == path || group.hasPrefix(path + "/")
    }

    /// Lets all of it go on, and kills every process in it. They end in their own time.
    func kill() {
        for part in [self, programs, server] where part.isFrozen || part == self { _ = part.setFrozen(false) }
        for number in processes {
            // Looked at when it is held: what had the number before it is gone then.
            guard let held = try? FileDescriptor(linux_pidfd_open(number)), SandboxProcess(number, in: self) != nil
            else { continue }
            SandboxProcess.kill(held.number)
        }
    }

    /// Whether no process is in it or in its parts.
    var isEmpty: Bool { processes.isEmpty }

    /// The processes in it and in its parts, as far as they can be told.
    private var processes: Set<pid_t> {
        let lists = [self, programs, server].flatMap { part in part.folders.map { $0 + "/cgroup.procs" } }
        return Set(lists.flatMap { (File.text($0) ?? "").split(separator: "\n").compactMap { pid_t($0) } })
    }

    /// Removes what is there of a group before a new one is made in its place: its limits, and whether it is frozen, would be the new
    /// one's, too, and the OCI runtime would wait for ever for a process that cannot run.
    func clear() throws(RuntimeError) {
        guard !folders.isEmpty else { return }
        for _ in 0..<100 {
            kill()
            if remove() { return }
            usleep(20_000)
        }
        throw .system(
            action: "making the control group \(path)",
            reason: "it is there already, with processes in it that do not end: end them, or remove it")
    }

    /// All folders of the group, one for each version 1 controller.
    var folders: [String] {
        guard !Self.isVersion2 else { return [Self.root + path].filter { access($0, F_OK) == 0 } }
        return Self.entries(of: Self.root).map { "\(Self.root)/\($0)\(path)" }.filter { access($0, F_OK) == 0 }
    }

    /// Removes it with all groups below, after its processes have ended.
    /// - Returns: whether all is gone.
    func remove() -> Bool {
        var isGone = true
        for folder in folders where !Self.remove(folder, levels: Self.maxLevels) { isGone = false }
        return isGone
    }

    /// More levels than anybody needs below a sandbox's group.
    private static let maxLevels = 32

    private static func remove(_ folder: String, levels: Int) -> Bool {
        if rmdir(folder) == 0 || errno == ENOENT { return true }
        guard levels > 0 else { return false }
        for name in entries(of: folder) {
            var status = stat()
            guard lstat(folder + "/" + name, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { continue }
            _ = remove(folder + "/" + name, levels: levels - 1)
        }
        return rmdir(folder) == 0
    }

    static func entries(of folder: String) -> [String] { File.names(in: folder) ?? [] }

    static func read(_ file: String) -> String {
        String((File.text(file) ?? "").prefix { $0 != "\n" })
    }

    static func write(_ text: String, to file: String) -> Bool {
        let descriptor = open(file, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count
    }
}

extension Leftovers {
    /// Removes what is left of a sandbox whose name is free: first its control group, then the files. By the name of these the next
    /// server knows the group, should this one end before.
    func take(_ files: String, _ group: ControlGroup, of sandbox: String? = nil) {
        take("the control group and the files of \(sandbox ?? files)", of: sandbox) {
            group.kill()
            guard group.remove() else {
                throw RuntimeError.system(action: "removing the control group \(group.path)", reason: "it is in use")
            }
            try TreeRemoval.remove(files)
        }
    }
}
