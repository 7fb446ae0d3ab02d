import Netfilter
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Looks at what the local runtime needs of a machine, and changes nothing that stays. Each part asks what the runtime itself asks when it
/// starts, so that both find the same.
package struct MachineCheckup: Sendable {
    private let configuration: LocalConfiguration

    package init(_ configuration: LocalConfiguration) { self.configuration = configuration }

    package var findings: [CheckupFinding] {
        [kernel, groups, runtime] + tools + [execd, firewall, limits, overlay]
    }

    /// What is left of it where an engine makes the sandboxes. It makes its own way through other firewalls (`EnginePassage`).
    /// - Parameter hasGuard: whether this machine's guard guards them.
    package func findingsBesideEngine(hasGuard: Bool) -> [CheckupFinding] { hasGuard ? [kernel, execd] : [execd] }

    private static let asRoot = "run `sallyport doctor` as root"

    /// What the guard does in a namespace, tried in one that goes at once, with its folder.
    private var kernel: CheckupFinding {
        let place = "kernel"
        guard geteuid() == 0 else {
            return .warning(place, "only root can try what the guard needs", remedy: Self.asRoot)
        }
        let folder = configuration.namespaceDirectory
        guard access(Self.nearestFolder(to: folder) + "/.", W_OK | X_OK) == 0 else {
            return .problem(
                place, "\(folder) cannot be made: \(SystemCallError.last)",
                remedy: "set local.run_dir to a folder that root can write to")
        }
        var template = Array("/tmp/sallyport-doctor-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            return .warning(
                place, "what the guard needs cannot be tried: no folder can be made in /tmp: \(SystemCallError.last)",
                remedy: "make /tmp a folder that root can write to")
        }
        let trial = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { rmdir(trial) }
        guard let first = KernelFeatures.probe(namespaceName: "doctor", in: trial).first else {
            return .ok(place, "has what the guard needs")
        }
        return .problem(
            place, "\(first)",
            remedy:
                "use a kernel with nf_tables, conntrack and network namespaces (Debian 12's has them), and give a container "
                + "that this runs in CAP_NET_ADMIN and CAP_SYS_ADMIN")
    }

    /// The folder itself, or the nearest one above it that is there.
    package static func nearestFolder(to folder: String) -> String {
        var place = folder
        while access(place, F_OK) != 0, let slash = place.utf8.lastIndex(of: UInt8(ascii: "/")),
            slash > place.startIndex
        {
            place = String(place[..<slash])
        }
        guard access(place, F_OK) != 0 else { return place }
        return place.hasPrefix("/") ? "/" : "."
    }

    private var groups: CheckupFinding {
        let place = "control groups", wanted = ["cpu", "memory", "pids"]
        guard ControlGroup.isVersion2, let text = File.text(ControlGroup.root + "/cgroup.controllers") else {
            return .warning(
                place, "\(ControlGroup.root) is not version 2: limits are set in the older hierarchies",
                remedy: "start the kernel with systemd.unified_cgroup_hierarchy=1")
        }
        let found = Set(text.split(whereSeparator: \.isWhitespace).map(String.init))
        let missing = wanted.filter { !found.contains($0) }
        guard missing.isEmpty else {
            return .problem(
                place, "there is no controller \(missing.joined(separator: ", ")): sandboxes would have no such limit",
                remedy:
                    "start the kernel with cgroup_enable=memory, and a container that this runs in with its own group")
        }
        return .ok(place, "version 2, with \(wanted.joined(separator: ", "))")
    }

    private var runtime: CheckupFinding {
        let place = "OCI runtime"
        do throws(RuntimeError) {
            if let gVisor = configuration.gVisor { return .ok(place, try OCIRuntime.gVisor(gVisor).executable) }
            return .ok(place, try OCIRuntime.find(configuration.ociRuntime).executable)
        } catch {
            return .problem(
                place, "\(error)",
                remedy: configuration.gVisor == nil
                    ? "apt-get install \(configuration.ociRuntime ?? "crun")"
                    : "apt-get install runsc, or name it in secure_runtime.path")
        }
    }

    /// Programs of others that the runtime starts.
    private var tools: [CheckupFinding] {
        let wanted: [(name: String, package: String, isNeeded: Bool, use: String)] = [
            ("skopeo", "skopeo", true, "fetches images"), ("umoci", "umoci", true, "unpacks images"),
            ("mke2fs", "e2fsprogs", false, "makes disks with a limit"),
        ]
        return wanted.map { tool -> CheckupFinding in
            if let path = OCIRuntime.path(tool.name) { return .ok(tool.name, path) }
            let text = "is not installed; it \(tool.use)", remedy = "apt-get install \(tool.package)"
            return tool.isNeeded
                ? .problem(tool.name, text, remedy: remedy) : .warning(tool.name, text, remedy: remedy)
        }
    }

    private var execd: CheckupFinding {
        guard access(configuration.execdPath, X_OK) == 0 else {
            return .problem(
                "execd", "\(configuration.execdPath) is missing or not executable",
                remedy:
                    "run `make execd`, or name it in local.execd; the package has it at \(RuntimeError.packagedExecd)")
        }
        return .ok("execd", configuration.execdPath)
    }

    /// Other firewalls that would drop what sandboxes send.
    private var firewall: CheckupFinding {
        let place = "firewall"
        guard geteuid() == 0 else {
            return .warning(place, "only root can read the machine's rules", remedy: Self.asRoot)
        }
        let own = HostFirewall(
            table: HostRules.table(tag: configuration.tag), pool: configuration.addressPool,
            poolV6: configuration.addressPoolV6, links: "\(SandboxLink.linkPrefix)\(configuration.tag.prefix(4))*",
            reachableBy: configuration.reachableBy)
        do throws(NetfilterError) {
            guard let obstacle = try own.obstacles(NetfilterSocket()).first else {
                return .ok(place, "no other firewall drops forwarded packets")
            }
            return .problem(
                place, "\(obstacle) drops forwarded packets: sandboxes reach nothing outside",
                remedy: own.passage(through: obstacle).joined(separator: "; "))
        } catch {
            return .warning(
                place, "the machine's rules cannot be read: \(error)",
                remedy: "use a kernel with nf_tables, and give a container that this runs in CAP_NET_ADMIN")
        }
    }

    /// How many sandboxes the kernel's own limits let there be.
    private var limits: CheckupFinding {
        let place = "namespaces", file = "/proc/sys/user/max_user_namespaces"
        guard let text = File.text(file), let most = Int(text.filter { !$0.isWhitespace }) else {
            return .warning(
                place, "this kernel has no user namespaces: a sandbox's root is the machine's",
                remedy: "use a kernel with CONFIG_USER_NS, or set secure_runtime.type to gvisor")
        }
        guard most > 0 else {
            return .warning(
                place, "user namespaces are switched off: a sandbox's root is the machine's",
                remedy: "sysctl user.max_user_namespaces=65536")
        }
        return .ok(place, "up to \(most) user namespaces")
    }

    private var overlay: CheckupFinding {
        let place = "overlayfs"
        let known = (File.text("/proc/filesystems") ?? "").split(separator: "\n").contains { $0.hasSuffix("\toverlay") }
        // A module is loaded with the first mount.
        let isModule = access("/sys/module/overlay", F_OK) == 0
        guard !known, !isModule else { return .ok(place, "there") }
        return .warning(
            place, "not loaded yet: the first sandbox loads it, if the kernel has it", remedy: "modprobe overlay")
    }
}
