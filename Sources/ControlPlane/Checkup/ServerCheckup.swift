import FoundationEssentials
import JSON
import Runtimes
import SafeText
import System

#if canImport(Glibc)
    import Glibc
#endif

/// `sallyport doctor`: whether a server with this configuration could run on this machine, and what stands in its way.
package struct ServerCheckup: Sendable {
    package let findings: [CheckupFinding]

    package init(path: String?, environment: [String: String], now: Int64 = Timestamp.now().seconds) async {
        let settings: Settings
        do {
            settings = try Settings.load(path: path, environment: environment)
        } catch {
            findings = [
                .problem(
                    "configuration", "\(error)",
                    remedy:
                        "correct it; `sallyport settings` lists every key, `sallyport init-config` writes a new file")
            ]
            return
        }
        var found: [CheckupFinding] = [.ok("configuration", "can be used"), Self.policies(settings)]
        found += await Self.runtime(settings)
        found.append(Self.addresses(settings.local, HostNetworks.current(tag: settings.local.tag)))
        found.append(Self.clock(now, ["/proc/self/exe", settings.database]))
        found += Self.disk(settings.local.stateDirectory)
        findings = found
    }

    /// Whether a server could run, as far as was found.
    package var isFit: Bool { !findings.contains { $0.grade == .problem } }

    package var table: TextTable {
        // Remedies are to be copied whole.
        var table = TextTable("", "WHAT", "FOUND", longest: 2000)
        for finding in findings {
            table.add([finding.grade.rawValue, finding.place, finding.text], tones: [0: finding.grade.tone])
            if let remedy = finding.remedy { table.add([" ", " ", "→ " + remedy]) }
        }
        return table
    }

    /// The operator's files about policies.
    private static func policies(_ settings: Settings) -> CheckupFinding {
        do {
            _ = (try OperatorPolicies(settings), try EgressPlane.lists(settings))
            return .ok("policies", "presets, default policy and lists can be used")
        } catch {
            return .problem("policies", "\(error)", remedy: "correct the file; until then no server starts")
        }
    }

    private static func runtime(_ settings: Settings) async -> [CheckupFinding] {
        let machine = Self.machine(settings)
        guard settings.runtime == .docker else { return machine.findings }
        let isBeside = settings.egress.placement == .sidecar
        var found = machine.findingsBesideEngine(hasGuard: !isBeside)
        do throws(ConfigurationError) {
            let engine = EngineCheckup(
                try settings.engineAddress(), runtime: settings.engineRuntime,
                network: isBeside ? settings.docker.network : nil)
            found += await engine.findings()
            _ = try settings.docker.seccomp()
        } catch {
            found.append(
                .problem(
                    "docker", "\(error)", remedy: "correct [docker], or the variables DOCKER_HOST and DOCKER_CERT_PATH")
            )
        }
        return found
    }

    private static func machine(_ settings: Settings) -> MachineCheckup {
        let execd = try? settings.local.execd ?? Installation.current.execd()
        var local = LocalConfiguration(
            stateDirectory: settings.sandboxesFolder, execdPath: execd ?? RuntimeError.packagedExecd,
            addressPool: settings.local.addressPool, addressPoolV6: settings.local.addressPoolV6,
            tag: settings.local.tag, namespaceDirectory: settings.namespaceDirectory,
            maxOutputLine: settings.local.maxOutputLine)
        local.reachableBy = settings.local.reachableBy
        local.gVisor = settings.local.gVisor
        local.ociRuntime = settings.local.ociRuntime?.rawValue
        return MachineCheckup(local)
    }

    static func addresses(_ local: Settings.Local, _ networks: HostNetworks) -> CheckupFinding {
        let place = "addresses"
        for (key, pool) in [("address_pool", local.addressPool), ("address_pool_v6", local.addressPoolV6)] {
            guard let network = networks.overlap(with: pool) else { continue }
            return .problem(
                place, "local.\(key) \(pool) overlaps a network of this machine, \(network)",
                remedy: "set local.\(key) to a block that is not in use")
        }
        return .ok(place, "\(local.addressPool) and \(local.addressPoolV6) are free")
    }

    /// Tokens, expiries and certificates are judged by it. What has been written later than now tells that it stands behind.
    private static func clock(_ now: Int64, _ files: [String]) -> CheckupFinding {
        let place = "clock", allowed: Int64 = 60
        for file in files {
            var status = stat()
            guard stat(file, &status) == 0, Int64(status.st_mtim.tv_sec) > now + allowed else { continue }
            return .problem(
                place, "it is behind: \(file) was written later. Signed routes and expiries are judged wrongly",
                remedy: "set it, and run a time service such as systemd-timesyncd")
        }
        return .ok(place, "not behind what has been written")
    }

    private static let little: UInt64 = 2 << 30
    private static let fewFiles: UInt64 = 100_000

    private static func disk(_ folder: String) -> [CheckupFinding] {
        let place = MachineCheckup.nearestFolder(to: folder)
        var state = statvfs()
        guard statvfs(place, &state) == 0 else {
            return [
                .problem(
                    "disk", "\(place) cannot be looked at: \(SystemCallError.last)",
                    remedy:
                        "check that its disk is there and answers, or set local.state_dir to a folder on another one")
            ]
        }
        let bytes = UInt64(state.f_bavail).multipliedReportingOverflow(by: UInt64(state.f_frsize)).partialValue
        let text = "\(bytes >> 20) MiB are free for \(folder)"
        var found: [CheckupFinding] = [
            bytes < little
                ? .warning("disk", text, remedy: "make room, or set local.state_dir to a folder on another disk")
                : .ok("disk", text)
        ]
        // Some file systems have no fixed number of files.
        if state.f_files > 0, state.f_favail < fewFiles {
            found.append(
                .warning(
                    "files", "\(state.f_favail) more files fit on that disk",
                    remedy: "an image may have more than that; make its file system with more inodes"))
        }
        return found
    }
}

extension CheckupFinding.Grade {
    fileprivate var tone: Tone {
        switch self {
        case .ok: .good
        case .warning: .doubtful
        case .problem: .bad
        }
    }
}

extension ServerCheckup {
    /// A list of `{"grade", "place", "text", "remedy"}`; the last is left out where there is nothing to do.
    package var json: String {
        let list = findings.map { finding in
            var members: [(String, JSONValue)] = [
                ("grade", .string(finding.grade.rawValue)), ("place", .string(finding.place)),
                ("text", .string(finding.text)),
            ]
            if let remedy = finding.remedy { members.append(("remedy", .string(remedy))) }
            var object = JSONObject()
            for (name, value) in members { object.set(name, value) }
            return JSONValue.object(object)
        }
        return String(decoding: JSONValue.array(list).encoded, as: UTF8.self)
    }
}
