import CLinux
import HTTPClient
import System

#if canImport(Glibc)
    import Glibc
#endif

/// What a support bundle says of a server and its machine, as texts.
struct SupportFacts {
    let settings: Settings
    /// How long a program may take, and what it may say.
    private static let milliseconds: UInt64 = 10_000
    private static let outputBytes = 4 << 20

    var versions: String {
        var names = utsname()
        uname(&names)
        func text<Value>(_ value: Value) -> String {
            withUnsafeBytes(of: value) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }
        let system = File.text("/etc/os-release")?.split(separator: "\n").first { $0.hasPrefix("PRETTY_NAME=") } ?? ""
        let tools = ["crun", "runc", "skopeo", "umoci", "nft"].map { tool in
            "\(tool): " + (Self.output([tool, "--version"]).split(separator: "\n").first ?? "not installed")
        }
        let kernel = "kernel \(text(names.release)) \(text(names.version)) \(text(names.machine))"
        return (["sallyport \(AllInOneServer.release)", kernel, String(system)] + tools).joined(separator: "\n") + "\n"
    }

    var state: String {
        var lines: [String] = []
        func count(_ what: String, _ names: [String]) {
            lines.append("\(what): \(names.count)")
            let counts = Dictionary(names.map { ($0, 1) }, uniquingKeysWith: +)
            lines += counts.sorted { $0.key < $1.key }.map { "  \($0.key): \($0.value)" }
        }
        do throws(StoreError) {
            for (table, states) in try SQLiteStore.states(path: settings.database) { count(table, states) }
        } catch { lines.append("\(error)") }
        count("API keys", ((try? APIKeyFile(settings).load())?.all ?? []).map(\.scope.rawValue))
        if let path = settings.tenants {
            let tenants = try? TenantFile(path: path).load()
            lines.append("tenants: \(tenants.map { "\($0.count)" } ?? "their file cannot be used")")
        }
        if settings.tenantProvider != nil { lines.append("tenants: another server is asked") }
        let folders = File.names(in: settings.sandboxesFolder) ?? []
        lines.append("folders of sandboxes: \(folders.count { !$0.hasPrefix(".") })")
        lines.append("being removed: \(File.names(in: settings.sandboxesFolder + "/.removed")?.count ?? 0)")
        var disk = statvfs()
        if statvfs(settings.local.stateDirectory, &disk) == 0 {
            // A file system may say anything.
            func kibibytes(_ blocks: some BinaryInteger) -> UInt64 {
                UInt64(clamping: blocks).multipliedReportingOverflow(by: UInt64(disk.f_frsize)).partialValue / 1024
            }
            lines.append(
                "disk: \(kibibytes(disk.f_bavail)) KiB free of \(kibibytes(disk.f_blocks)) KiB, \(disk.f_favail) inodes free"
            )
        }
        return lines.joined(separator: "\n") + "\n"
    }

    var kernel: String {
        let files = [
            "/proc/sys/kernel/osrelease", "/sys/kernel/security/lsm", "/sys/fs/cgroup/cgroup.controllers",
            "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding",
            "/proc/sys/user/max_user_namespaces", "/proc/sys/net/netfilter/nf_conntrack_max", "/proc/meminfo",
            "/proc/filesystems", "/proc/modules",
        ]
        return files.map { path in
            let lines = (File.text(path, limit: 1 << 18) ?? "not there").split(separator: "\n")
            return "\(path)\n" + lines.map { "  \($0)\n" }.joined()
        }.joined()
    }

    /// The host's table. Those in sandboxes say whom they reach, which is their owners' business.
    var ruleset: String {
        let name = "sallyport_\(settings.local.tag)"
        let text = Self.output(["nft", "list", "table", "inet", name])
        return text.isEmpty ? "there is no table inet \(name), or no nft(8) that could show it\n" : text
    }

    /// What the server answers, if it runs.
    var status: String {
        get async {
            let everywhere = ["0.0.0.0": "127.0.0.1", "::": "::1"]
            let host = everywhere[settings.server.host] ?? settings.server.host
            let address = "http://\(host.contains(":") ? "[\(host)]" : host):\(settings.server.port)"
            guard let endpoint = HTTPEndpoint(address) else { return "\(address) is not an address\n" }
            var peer = HTTPPeer(endpoint)
            peer.deadlines = ClientDeadlines(connect: 2000, total: 5000)
            var lines = [address]
            for path in ["/health", "/ready", "/version"] {
                do {
                    let answer = try await HTTPClient.shared.send(ClientRequest("GET", path), to: peer)
                    lines.append("\(path): \(answer.status) \(answer.text.prefix(1000))")
                } catch { lines.append("\(path): \(error)") }
            }
            return lines.joined(separator: "\n") + "\n"
        }
    }

    /// What a program says; nothing where it cannot be started.
    private static func output(_ words: [String]) -> String {
        do throws(SystemCallError) {
            var ends: [CInt] = [-1, -1]
            let made = linux_pipe(&ends)
            guard made == 0 else { throw SystemCallError(code: -made) }
            let output = try FileDescriptor(ends[0])
            var launch = ProcessLaunch(words, environment: ["LC_ALL=C"])
            launch.searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            (launch.output, launch.hasOwnGroup) = (ends[1], true)
            defer { close(ends[1]) }
            let process = try launch.start()
            close(ends[1])
            ends[1] = -1
            let bytes = read(output.number)
            // One that has ended has no group any more.
            kill(-process, SIGKILL)
            _ = ProcessExit(waitingFor: process)
            return String(decoding: bytes, as: UTF8.self)
        } catch { return "" }
    }

    private static func read(_ pipe: CInt) -> [UInt8] {
        let end = SystemClock.monotonicMilliseconds() + milliseconds
        var bytes: [UInt8] = [], chunk = [UInt8](repeating: 0, count: 64 << 10)
        while bytes.count < outputBytes {
            let now = SystemClock.monotonicMilliseconds()
            var waiting = pollfd(fd: pipe, events: Int16(POLLIN), revents: 0)
            guard now < end, poll(&waiting, 1, CInt(end - now)) > 0 else { break }
            let count = Glibc.read(pipe, &chunk, chunk.count)
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        return bytes
    }
}
