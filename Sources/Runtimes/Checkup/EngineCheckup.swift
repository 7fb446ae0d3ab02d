import HTTPClient
import SafeText

/// Asks a container engine for what the Docker runtime needs of it, and makes nothing there.
package struct EngineCheckup: Sendable {
    private let engine: EngineClient
    private let runtime: String?
    private let network: String?

    /// - Parameters:
    ///   - runtime: the engine's name of the runtime that sandboxes are to have; nil for its default.
    ///   - network: the engine's network that sandboxes are to be on; nil where they get links of this machine.
    ///   - patience: seconds for each answer, however slowly it comes.
    package init(_ address: EngineAddress, runtime: String? = nil, network: String? = nil, patience: Int = 5) {
        engine = EngineClient(address, patience: patience, total: UInt64(clamping: patience) * 1000)
        self.runtime = runtime
        self.network = network
    }

    package func findings() async -> [CheckupFinding] {
        let body: [UInt8], info: EngineInfo
        do throws(EngineFailure) {
            body = try await engine.send(EngineCall("GET", "info")).body
            info = try EngineClient.read(body)
        } catch { return [failed(error)] }
        var found = [checkVersion(info)]
        if let security = try? EngineClient.read(body) as EngineSecurity, security.isRootless {
            found.append(
                .warning(
                    "engine's rights",
                    "it is rootless, which this server is not tested with: limits hold only where its user may set them",
                    remedy: "use an engine that root runs"))
        }
        found.append(checkStorage(try? EngineClient.read(body) as EngineStorage))
        if let runtime { found.append(checkRuntime(runtime, info)) }
        if let network { found.append(await checkNetwork(network)) }
        return found
    }

    private func failed(_ failure: EngineFailure) -> CheckupFinding {
        switch failure.kind {
        case .away, .cancelled:
            .problem(
                "engine", "\(failure)",
                remedy:
                    "start it (systemctl start docker), or name the right one in docker.host or DOCKER_HOST; its socket may be "
                    + "open to root alone")
        case .refused(let status):
            .problem(
                "engine", "the engine at \(engine.address) refuses what it is asked (status \(status)): \(failure)",
                remedy: "look at its log (journalctl --unit docker), and at any proxy between it and this server")
        case .malformed:
            .problem(
                "engine", "\(failure)",
                remedy: "name a Docker engine in docker.host or DOCKER_HOST; what answers there is something else")
        }
    }

    private func checkVersion(_ info: EngineInfo) -> CheckupFinding {
        let word = ForeignText.escaped(info.version, limit: 40)
        let platform = ForeignText.escaped(info.platform, limit: 40)
        guard info.system == "linux" else {
            return .problem(
                "engine", "it runs containers of \(platform)", remedy: "use an engine that runs Linux containers")
        }
        guard !Self.isOld(info.version) else {
            return .warning(
                "engine", "it is version \(word), older than what this server is tested with",
                remedy: "use version 20.10 or later")
        }
        return .ok("engine", "\(word), \(platform), at \(engine.address)")
    }

    /// Whether it is before 20.10; what is no version is not.
    static func isOld(_ version: String) -> Bool {
        let numbers = version.split(separator: ".").prefix(2).map { Int($0) }
        guard numbers.count == 2, let major = numbers[0], let minor = numbers[1] else { return false }
        return (major, minor) < (20, 10)
    }

    private func checkStorage(_ storage: EngineStorage?) -> CheckupFinding {
        let place = "engine's disks"
        var obstacle: String? = "the engine does not say which storage driver it has"
        if let storage { obstacle = storage.obstacle }
        guard let obstacle else {
            return .ok(place, "can have a limit (resourceLimits.disk)")
        }
        return .warning(
            place, "creates with resourceLimits.disk are refused: \(obstacle)",
            remedy:
                "use the driver btrfs or zfs, or overlay2 on xfs that is mounted with pquota; without that limit there is nothing "
                + "to do")
    }

    private func checkRuntime(_ name: String, _ info: EngineInfo) -> CheckupFinding {
        guard let obstacle = info.obstacle(to: name) else { return .ok("engine's runtime", name) }
        return .problem(
            "engine's runtime", obstacle,
            remedy:
                "apt-get install runsc, name it in /etc/docker/daemon.json with \"runtimeArgs\": [\"--network=host\"], and restart "
                + "the engine")
    }

    private func checkNetwork(_ name: String) async -> CheckupFinding {
        let found: JSONIgnored?
        do throws(EngineFailure) { found = try await engine.find(EngineCall("GET", "networks", name)) } catch {
            return failed(error)
        }
        guard found == nil else { return .ok("engine's network", name) }
        return .problem(
            "engine's network", "the engine has no network \(name) (docker.network_mode)",
            remedy: "docker network create \(name)")
    }
}
