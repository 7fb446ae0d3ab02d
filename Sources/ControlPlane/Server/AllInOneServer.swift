import Egress
import EgressRemote
import FoundationEssentials
import HTTPServer
import Ingress
import Logging
import NIOCore
import NIOPosix
import NetworkPolicy
import Observability
import Runtimes
import SecureAccess
import ServerTLS
import Supervision

#if canImport(Glibc)
    import Glibc
#endif

/// Everything in one process: lifecycle API, guard, gateway, and the runtime of this machine.
package final class AllInOneServer: Sendable {
    /// This program's version.
    package static let release = Observability.release

    package let facts: ServeFacts
    let service: SandboxService
    private let node: EgressNode?
    private let gateway: Gateway?
    private let api: HTTPServer
    private let tls: ListenerTLS?
    private let directory: DirectoryServer
    private let follower: Task<Void, Never>
    private let poolKeeper: Task<Void, Never>
    private let export: Task<Void, Never>
    private let locks: InstanceLocks?
    private let link: LinkServer?
    private let rules: LiveRules
    private let accessLog: AccessLog

    /// Starts the guard, the runtime, recovers sandboxes, and only then opens the listeners, so that nothing is
    /// reachable before it is guarded.
    /// - Throws: an error whose description says what to do; then the program should end.
    ///
    /// - Parameter handover: what the supervisor hands to a server whose other parts have their own processes; nil if
    ///   all are in this one.
    package init(
        settings given: Settings, handover: Handover? = nil, metrics: MetricsRegistry, logger: Logger
    ) async throws {
        let settings = handover?.serverSettings(given) ?? given
        if handover == nil { try StateFolders.make(settings) }
        locks = try handover == nil ? InstanceLocks.server(settings) : nil
        if handover == nil { try StateRelease(folder: settings.local.stateDirectory).claim() }
        let health = PartsHealth(board: try handover.map { try ProcessBoard(descriptor: $0.board) })
        let listeners = handover?.listeners ?? [:]
        let secrets = try Secrets.load(settings)
        facts = ServeFacts(given, secrets: secrets)
        tls = try settings.server.tls.map {
            try ListenerTLS($0.certificates, protocols: ["http/1.1"], logger: logger)
        }
        var configuration = try EgressPlane.configuration(settings, logger: logger)
        configuration.metrics = { metrics.prometheusText() }
        let exports = try Telemetry.exports(
            settings, metrics, environment: ProcessInfo.processInfo.environment, logger: logger)
        configuration.tracer = exports.tracer
        let rules = LiveRules(
            APIRules(settings.server, apiKey: secrets.apiKey, policies: try OperatorPolicies(settings)))
        self.rules = rules
        accessLog = AccessLog(settings.server.accessLog, logger: logger)
        if !settings.egress.isExternal { configuration.lists = try EgressPlane.lists(settings) }
        node = settings.egress.isExternal ? nil : try await EgressNode(configuration: configuration, logger: logger)
        if let node { Telemetry.collect(node, into: metrics) }
        let isAway = handover.flatMap { $0.isRunning(.egress) ? { @Sendable in health.isAway(.egress) } : nil }
        let controller: any NamespaceController =
            node ?? RemoteEgressNode(adminSocketPath: settings.egressAdminSocket, isAway: isAway)
        let owner = try SecretFile(path: settings.ownerFile).load { Secrets.hexadecimal(SecureRandom.bytes(16)) }
        let runtime = try RuntimePlane.runtime(
            settings, namespaceGuard: MachineGuard(controller: controller), owner: owner, metrics: metrics,
            logger: logger)
        let renewals = AccessRenewals()
        let routes = RouteTable(
            policySocket: settings.policySocket, credentialKey: secrets.credentialKey,
            renewals: settings.renewal.isEnabled
                ? .init(interval: .seconds(settings.renewal.interval)) {
                    renewals.ask($0, min($1, rules.current.maxTimeout))
                } : nil)
        let guards = SandboxGuards(runtime: runtime, machine: controller) {
            SidecarPolicy(
                of: $0, host: $1.host, port: $1.port, token: $1.token,
                presets: rules.current.policies?.presets ?? .none)
        }
        let store = try SQLiteStore(path: settings.database)
        let pools = WarmPools(
            runtime: runtime, store: store.pools, configured: settings.pools, owner: owner, logger: logger
        ) { routes.execdToken(of: $0) }
        metrics.collect { [weak pools] in pools?.samples ?? [] }
        let service = SandboxService(
            runtime: runtime, egress: guards, store: store, owner: owner, logger: logger, pools: pools,
            creates: settings.server.creates, failuresKept: settings.server.failuresKept,
            execdToken: { routes.execdToken(of: $0) }
        ) { id, sandbox in routes.set(id, sandbox) }
        self.service = service
        metrics.collect { [weak service] in service?.samples ?? [] }
        // Before the sandboxes, which are counted to them.
        try await pools.load()
        try await service.recover()
        service.warn(ofNew: secrets.made, in: settings.secretsFolder)

        let group = MultiThreadedEventLoopGroup.singleton
        let dialer =
            settings.gateway.reachesLoopback ? LoopbackDialer(runtime) { routes.enterable($0) } : nil
        if settings.gateway.isExternal {
            gateway = nil
        } else {
            var configuration = try GatewayConfiguration(settings, keys: secrets.keys, logger: logger)
            configuration.tracer = exports.tracer
            let gateway = Gateway(
                configuration: configuration, directory: routes, group: group, dialer: dialer, logger: logger)
            _ = try await Self.listening(on: settings.gateway.host, settings.gateway.port, "[ingress] port") {
                try await gateway.start()
            }
            self.gateway = gateway
        }
        link = try listeners[ListenerName.link].map { listener in
            try LinkServer(
                listener: listener, user: settings.gateway.user, routes: routes, dialer: dialer, group: group,
                logger: logger)
        }
        let others = health.metricsSockets(settings)
        metrics.collect { health.samples }
        let proxy = ServerProxy(
            directory: routes, group: group,
            codes: ServerProxy.Codes(
                sandboxNotFound: runtime.codes.sandboxNotFound, invalidPort: runtime.codes.invalidPort),
            dialer: dialer, answersTo: { rules.current.callers.names.contains($0) }, tracer: exports.tracer,
            accessLog: accessLog, logger: logger)
        let readiness = Readiness(
            ServerReadiness.checks(
                runtime: runtime, controller: controller, store: store, health: health, settings: settings,
                hasGateway: handover?.isRunning(.gateway) == true))
        let keys = LiveAPIKeys(), namedKeys = APIKeyFile(settings)
        keys.replace(with: try namedKeys.load())
        let tenantFile = settings.tenants.map { TenantFile(path: $0) { rules.current.apiKey } }
        let tenants = try tenantFile.map { LiveTenants(try $0.load()) }
        tenantFile?.warn(logger)
        let provider = settings.tenantProvider.map { TenantProvider($0, logger: logger) }
        provider?.warn()
        let lifecycle = LifecycleAPI(
            service: service,
            endpoints: EndpointResolver(
                address: settings.gateway.advertised, routing: settings.gateway.routing, keys: secrets.keys,
                signs: settings.gateway.signs, published: settings.local.ports),
            routes: routes,
            limits: RequestLimits(
                presets: configuration.presets, capabilities: runtime.capabilities, codes: runtime.codes,
                published: settings.local.ports?.always ?? []),
            rules: rules, keys: keys, tenants: tenants, provider: provider, proxy: proxy, logger: logger,
            health: health, readiness: readiness,
            pages: settings.server.docs
                ? APIPages(folder: try Installation.current.pages(folder: settings.server.pages)) : nil,
            audit: settings.server.auditLog.map {
                RequestAudit(path: $0, limit: settings.server.auditLogLimit, logger: logger)
            },
            accessLog: accessLog, tracer: exports.tracer, settled: { [link] in await link?.settled() },
            metricsText: { await metrics.text(with: others) })
        var limits = HTTPLimits()
        limits.maxConnections = settings.server.maxConnections
        limits.idleTimeout = .seconds(Int64(settings.server.idleTimeout))
        limits.setBodyRate(settings.server.bodyRate)
        limits.stallTimeout = .seconds(Int64(settings.server.stallTimeout))
        api = HTTPServer(group: group, limits: limits, logger: logger, application: lifecycle.http)
        let server = api
        func serve(
            _ name: String, on host: String, _ port: Int, _ setting: String, _ security: (any ConnectionSecurity)?
        ) async throws {
            _ = try await Self.listening(on: host, port, setting) {
                try await server.start(
                    on: listeners[name].map { .open(descriptor: $0) } ?? .tcp(host: host, port: port),
                    security: security)
            }
        }
        try await serve(ListenerName.api, on: settings.server.host, settings.server.port, "[server] port", nil)
        if let listener = settings.server.tls {
            try await serve(ListenerName.apiTLS, on: listener.host, listener.port, "[server.tls] port", tls)
        }
        directory = try await DirectoryServer(
            settings, routes: routes, secret: secrets.directory, listeners: listeners, group: group, logger: logger)
        poolKeeper = Task { await pools.run() }
        export = exports.start()
        let keyFile = secrets.keyFile
        follower = Task {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await service.follow() }
                group.addTask { await namedKeys.follow(keys, logger) }
                group.addTask { if let tenantFile, let tenants { await tenantFile.follow(tenants, logger) } }
                group.addTask { await renewals.run(service) { routes.renewalFailed($0) } }
                if settings.renewal.isEnabled, let redis = settings.renewal.redis {
                    group.addTask { await RenewConsumer(settings: redis, routes: routes, logger: logger).run() }
                }
                group.addTask { await keyFile?.follow(secrets.keys, logger) }
            }
        }
        try handover?.follow(logger) { [weak self] in self?.change(to: $0, logger) }
    }

    /// Takes over what may change while it runs (`SettingKey.live`).
    package func change(to settings: Settings, _ logger: Logger) {
        let policies = policies(settings, logger)
        do throws(ConfigurationError) {
            rules.replace(with: APIRules(settings.server, apiKey: try Secrets.apiKey(settings), policies: policies))
        } catch {
            logger.error("the API key cannot be read; the previous one stays in force", metadata: ["error": "\(error)"])
        }
        accessLog.mode = settings.server.accessLog
        gateway?.change(traffic: settings.gateway.traffic, accessLog: settings.gateway.accessLog)
        service.queue.change(settings.server.creates)
        service.runtime.changeStorage(settings.storage)
    }

    /// Those of now, or, where one of their files cannot be used, those before it.
    private func policies(_ settings: Settings, _ logger: Logger) -> OperatorPolicies? {
        do throws(ConfigurationError) {
            let policies = try OperatorPolicies(settings)
            node?.use(policies.presets)
            logger.info(
                "presets and default policy reloaded",
                metadata: [
                    "presets": "\(policies.presets.names.count)",
                    "defaultPolicy": "\(policies.standard.map { "\($0.ruleCount) rules" } ?? "none")",
                ])
            return policies
        } catch {
            logger.error(
                "the presets or the default policy cannot be used; the previous ones stay in force",
                metadata: ["error": "\(error)"])
            return rules.current.policies
        }
    }

    /// Stops serving and lets requests finish. Sandboxes keep running, guarded by the kernel, and the next server
    /// recovers them.
    package func shutdown() async {
        follower.cancel()
        poolKeeper.cancel()
        await service.endCaptures()
        await endPools()
        await directory.shutdown()
        link?.shutdown()
        await api.shutdown()
        tls?.stop()
        await gateway?.shutdown()
        await node?.shutdown()
        await Exports.end(export)
    }

    /// Removes the sandboxes that wait for a use, which do not outlive their server, and makes none any more.
    func endPools() async {
        poolKeeper.cancel()
        await poolKeeper.value
    }

    private static func listening(
        on host: String, _ port: Int, _ setting: String, _ start: () async throws -> SocketAddress
    ) async throws -> SocketAddress {
        do {
            return try await start()
        } catch let error as ListenError {
            throw ConfigurationError.cannotListen(on: host, port, setting, code: error.code)
        }
    }
}
