import Egress
import FoundationEssentials
import Logging
import Observability
import Runtimes
import ServerTLS

/// Makes the runtime that the configuration names.
enum RuntimePlane {
    static func runtime(
        _ settings: Settings, namespaceGuard: any NamespaceGuard, owner: String, metrics: MetricsRegistry,
        logger: Logger
    ) throws -> any SandboxRuntime {
        try checkPools(settings.local)
        try checkPorts(settings)
        try checkPlacement(settings)
        try checkNetwork(settings)
        switch settings.runtime {
        case .local:
            guard settings.secureRuntime.engineName == nil else {
                throw ConfigurationError("secure_runtime.docker_runtime is for runtime.type = \"docker\": leave it out")
            }
            return try local(settings, namespaceGuard, owner: owner, metrics: metrics, logger: logger)
        case .docker:
            guard settings.secureRuntime.engineName == nil || settings.local.gVisor != nil else {
                throw ConfigurationError("secure_runtime.docker_runtime is for secure_runtime.type = \"gvisor\"")
            }
            guard settings.secureRuntime.program == nil, settings.secureRuntime.platform == nil else {
                throw ConfigurationError(
                    "secure_runtime.path and platform are for runtime.type = \"local\": the engine's own configuration has "
                        + "them for its runtimes")
            }
            return try DockerRuntime(
                docker(settings), namespaceGuard: namespaceGuard, owner: owner, logger: logger)
        }
    }

    private static func local(
        _ settings: Settings, _ namespaceGuard: any NamespaceGuard, owner: String, metrics: MetricsRegistry,
        logger: Logger
    ) throws -> LocalRuntime {
        var local = LocalConfiguration(
            stateDirectory: settings.sandboxesFolder,
            execdPath: try settings.local.execd ?? Installation.current.execd(),
            addressPool: settings.local.addressPool, addressPoolV6: settings.local.addressPoolV6,
            tag: settings.local.tag, namespaceDirectory: settings.namespaceDirectory,
            maxOutputLine: settings.local.maxOutputLine)
        local.userNamespaces = settings.local.userNamespaces
        local.reachableBy = settings.local.reachableBy
        local.disk = settings.local.disk
        local.volumesDirectory = settings.volumesFolder
        local.storage = settings.storage
        local.storage.withheld = settings.ownFiles
        local.storage.keysFolder = settings.local.runDirectory
        local.ports = settings.local.ports?.configuration
        local.sharesNetwork = settings.local.network == .host
        local.gVisor = settings.local.gVisor
        local.ociRuntime = settings.local.ociRuntime?.rawValue
        let engine = try LocalEngine(configuration: local, logger: logger)
        metrics.collect { [weak engine] in
            [.init("sallyport_leftovers", .gauge, Double(engine?.leftovers.count ?? 0))]
        }
        let layers = try LayerStore(
            directory: settings.snapshotsFolder, reserve: settings.local.disk.reserve,
            logger: logger)
        return LocalRuntime(
            engine: engine, images: try LocalImages.open(settings, snapshots: layers, logger: logger), layers: layers,
            namespaceGuard: namespaceGuard, owner: owner)
    }

    private static func docker(_ settings: Settings) throws -> DockerConfiguration {
        var docker = DockerConfiguration(
            execdPath: try settings.local.execd ?? Installation.current.execd(),
            stateDirectory: settings.local.stateDirectory + "/docker",
            namespaceDirectory: settings.namespaceDirectory)
        docker.engine = try settings.engineAddress()
        docker.sidecar = try sidecar(settings)
        docker.sharesNetwork = settings.sharedNetwork != nil
        docker.patience = settings.docker.patience
        docker.addressPool = settings.local.addressPool
        docker.addressPoolV6 = settings.local.addressPoolV6
        docker.tag = settings.local.tag
        docker.reachableBy = settings.local.reachableBy
        docker.ports = settings.local.ports?.configuration
        docker.storage = settings.storage
        docker.storage.withheld = settings.ownFiles
        docker.pulls = settings.docker.pulls
        docker.confinement = settings.docker.confinement
        docker.confinement.runtime = settings.engineRuntime
        docker.confinement.seccomp = try settings.docker.seccomp()
        docker.environment = settings.docker.environment
        docker.binds = settings.docker.binds
        docker.keepsRules = settings.docker.keepsRules
        docker.maxOutputLine = settings.local.maxOutputLine
        docker.maxLog = settings.local.disk.log
        return docker
    }

    /// What cannot be had together with the machine's own network.
    static func checkNetwork(_ settings: Settings) throws(ConfigurationError) {
        guard settings.local.network != .host || settings.runtime == .local else {
            throw ConfigurationError(
                "local.network_mode = \"host\" is for runtime.type = \"local\": leave it out, or set docker.network_mode"
            )
        }
        guard let mode = settings.sharedNetwork else { return }
        guard settings.egress.placement != .sidecar else {
            throw ConfigurationError("\(mode) has no guard, also none beside a sandbox: leave egress.placement out")
        }
        guard settings.runtime != .local || settings.local.userNamespaces.mode != .off else {
            throw ConfigurationError(
                "\(mode) needs user namespaces: without them root in a sandbox would be root on this machine's network. Leave "
                    + "local.user_namespaces out")
        }
        guard settings.local.gVisor == nil else {
            throw ConfigurationError("\(mode) and secure_runtime.type cannot be combined: leave one out")
        }
        guard settings.egress.rulesFolder == nil else {
            throw ConfigurationError("\(mode) has no guard that could enforce egress.rules_dir: leave one out")
        }
        guard settings.local.ports == nil else {
            throw ConfigurationError(
                "\(mode) needs no published ports, since what listens in a sandbox listens on this machine: leave [local.ports] out"
            )
        }
        // What is wrong with the address itself is said where it is used.
        let engine = try? settings.docker.engine(environment: settings.engineVariables)
        guard settings.runtime != .docker || engine?.isOpen != true else {
            throw ConfigurationError(
                "\(mode) needs an engine that asks who connects, or every sandbox had this machine: use its Unix socket, or TLS "
                    + "(docker.tls_dir)")
        }
    }

    /// What the parts of the configuration say together about guards: each process is told its own parts alone.
    private static func checkPlacement(_ settings: Settings) throws(ConfigurationError) {
        let isBeside = settings.egress.placement == .sidecar
        guard !isBeside || settings.runtime == .docker else {
            throw ConfigurationError("egress.placement = \"sidecar\" is for runtime.type = \"docker\"")
        }
        guard !isBeside || settings.local.ports.map({ $0.configuration.sources.engineAddress != nil }) ?? true else {
            throw ConfigurationError(
                "local.ports.allow and deny: with egress.placement = \"sidecar\" the engine publishes ports, for this machine alone "
                    + "(leave both out) or for everybody (allow = [\"0.0.0.0/0\", \"::/0\"])")
        }
        guard isBeside == (settings.egress.image != nil) else {
            throw ConfigurationError(
                "egress.image is for egress.placement = \"sidecar\", which needs it; this machine's guard has no image")
        }
        guard isBeside || settings.sharedNetwork != nil || settings.docker.network == Settings.Docker.usualNetwork
        else {
            throw ConfigurationError(
                "docker.network_mode is for egress.placement = \"sidecar\": this machine's guard needs a link of its own "
                    + "to each container")
        }
    }

    /// nil where this machine's guard guards containers.
    private static func sidecar(_ settings: Settings) throws(ConfigurationError) -> SidecarSettings? {
        let egress = settings.egress
        guard egress.placement == .sidecar, let image = egress.image else { return nil }
        return SidecarSettings(
            image: image, network: settings.docker.network, readiness: egress.readiness,
            variables: try egress.sidecarVariables(), rulesFolder: egress.rulesFolder)
    }

    /// - Throws: if the sandboxes' addresses overlap with a network of this machine.
    private static func checkPools(_ local: Settings.Local) throws(ConfigurationError) {
        let networks = HostNetworks.current(tag: local.tag)
        for (key, pool) in [("address_pool", local.addressPool), ("address_pool_v6", local.addressPoolV6)] {
            guard let network = networks.overlap(with: pool) else { continue }
            throw ConfigurationError(
                "local.\(key) \(pool) overlaps a network of this machine, \(network): choose a block that is not in use"
            )
        }
    }

    /// - Throws: if a port of the server's own is one of those that sandboxes may have.
    private static func checkPorts(_ settings: Settings) throws(ConfigurationError) {
        guard let range = settings.local.ports?.configuration.range else { return }
        let own = [
            settings.server.port, settings.server.tls?.port, settings.gateway.port, settings.gateway.tls?.port,
        ].compactMap { $0 }
        guard let port = own.first(where: { (Int(range.lowerBound)...Int(range.upperBound)).contains($0) }) else {
            return
        }
        throw ConfigurationError(
            "local.ports.first to local.ports.last has port \(port), where this server listens: choose another range")
    }
}
