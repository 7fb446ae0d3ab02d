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

    package var findings: [CheckupFinding] { [kernel, groups] + programs + [firewall, limits, overlay] }

    private static let asRoot = "run `sallyport doctor` as root"

    /// What the guard does in a namespace, tried in one that goes at once.
    private var kernel: CheckupFinding {
        let place = "kernel"
        guard geteuid() == 0 else {
            return CheckupFinding(.warning, place, "only root can try what the guard needs", remedy: Self.asRoot)
        }
        let folder = configuration.namespaceDirectory
        do throws(SystemCallError) { try File.makeFolder(folder, mode: 0o700) } catch {
            return CheckupFinding(.problem, place, "\(folder) cannot be made: \(error)")
        }
        let missing = KernelFeatures.probe(namespaceName: "doctor-\(getpid())", in: folder)
        guard let first = missing.first else { return CheckupFinding(.ok, place, "has what the guard needs") }
        return CheckupFinding(
            .problem, place, "\(first)",
            remedy:
                "use a kernel with nf_tables, conntrack and network namespaces (Debian 12's has them), and give a container "
                + "that this runs in CAP_NET_ADMIN and CAP_SYS_ADMIN")
    }

    private var groups: CheckupFinding {
        let place = "control groups", wanted = ["cpu", "memory", "pids"]
        guard ControlGroup.isVersion2, let text = File.text(ControlGroup.root + "/cgroup.controllers") else {
            return CheckupFinding(
                .warning, place, "\(ControlGroup.root) is not version 2: limits are set in the older hierarchies",
                remedy: "start the kernel with systemd.unified_cgroup_hierarchy=1")
        }
        let found = Set(text.split(whereSeparator: \.isWhitespace).map(String.init))
        let missing = wanted.filter { !found.contains($0) }
        guard missing.isEmpty else {
            return CheckupFinding(
                .problem, place,
                "there is no controller \(missing.joined(separator: ", ")): sandboxes would have no such limit",
                remedy:
                    "start the kernel with cgroup_enable=memory, and a container that this runs in with its own group")
        }
        return CheckupFinding(.ok, place, "version 2, with \(wanted.joined(separator: ", "))")
    }

    /// The programs that the runtime starts.
    private var programs: [CheckupFinding] {
        var findings: [CheckupFinding] = []
        do throws(RuntimeError) {
            let found =
                if let gVisor = configuration.gVisor {
                    try OCIRuntime.gVisor(gVisor)
                } else { try OCIRuntime.find(configuration.ociRuntime) }
            findings.append(CheckupFinding(.ok, "OCI runtime", found.executable))
        } catch {
            findings.append(CheckupFinding(.problem, "OCI runtime", "\(error)", remedy: "apt-get install crun"))
        }
        let tools: [(name: String, package: String, grade: CheckupFinding.Grade, use: String)] = [
            ("skopeo", "skopeo", .problem, "fetches images"), ("umoci", "umoci", .problem, "unpacks images"),
            ("mke2fs", "e2fsprogs", .warning, "makes disks with a limit"),
        ]
        for tool in tools {
            if let path = OCIRuntime.path(tool.name) {
                findings.append(CheckupFinding(.ok, tool.name, path))
            } else {
                findings.append(
                    CheckupFinding(
                        tool.grade, tool.name, "is not installed; it \(tool.use)",
                        remedy: "apt-get install \(tool.package)"))
            }
        }
        if access(configuration.execdPath, X_OK) == 0 {
            findings.append(CheckupFinding(.ok, "execd", configuration.execdPath))
        } else {
            findings.append(
                CheckupFinding(
                    .problem, "execd", "\(configuration.execdPath) is not there, or may not be run",
                    remedy: "run `make execd`, or name it in local.execd"))
        }
        return findings
    }

    /// Other firewalls that would drop what sandboxes send.
    private var firewall: CheckupFinding {
        let place = "firewall"
        guard geteuid() == 0 else {
            return CheckupFinding(.warning, place, "only root can read the machine's rules", remedy: Self.asRoot)
        }
        let own = HostFirewall(
            table: HostRules.table(tag: configuration.tag), pool: configuration.addressPool,
            poolV6: configuration.addressPoolV6, links: "\(SandboxLink.linkPrefix)\(configuration.tag.prefix(4))*",
            reachableBy: configuration.reachableBy)
        do throws(NetfilterError) {
            guard let obstacle = try own.obstacles(NetfilterSocket()).first else {
                return CheckupFinding(.ok, place, "no other one drops what is forwarded")
            }
            return CheckupFinding(
                .problem, place, "\(obstacle) drops forwarded packets: sandboxes reach nothing outside",
                remedy: own.passage(through: obstacle).joined(separator: "; "))
        } catch { return CheckupFinding(.warning, place, "the machine's rules cannot be read: \(error)") }
    }

    /// How many sandboxes the kernel's own limits let there be.
    private var limits: CheckupFinding {
        let place = "namespaces", file = "/proc/sys/user/max_user_namespaces"
        guard let text = File.text(file), let most = Int(text.filter { !$0.isWhitespace }) else {
            return CheckupFinding(
                .warning, place, "this kernel has no user namespaces: a sandbox's root is the machine's")
        }
        guard most > 0 else {
            return CheckupFinding(
                .warning, place, "user namespaces are switched off: a sandbox's root is the machine's",
                remedy: "sysctl user.max_user_namespaces=65536")
        }
        return CheckupFinding(.ok, place, "up to \(most) user namespaces")
    }

    private var overlay: CheckupFinding {
        let place = "overlayfs"
        let known = (File.text("/proc/filesystems") ?? "").split(separator: "\n").contains { $0.hasSuffix("\toverlay") }
        // A module is loaded with the first mount.
        let isModule = access("/sys/module/overlay", F_OK) == 0
        guard !known, !isModule else { return CheckupFinding(.ok, place, "there") }
        return CheckupFinding(
            .warning, place, "not loaded: it is with the first sandbox, if the kernel has it",
            remedy: "modprobe overlay")
    }
}
