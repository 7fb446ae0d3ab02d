import Egress
import FoundationEssentials
import Ingress
import Logging
import NIOCore
import NIOPosix
import NetworkPolicy
import Observability

/// The guard in its own process.
package final class EgressProgram: Sendable {
    package let adminSocket: String
    private let node: EgressNode
    private let locks: InstanceLocks?
    private let export: Task<Void, Never>

    /// - Parameter handover: nil if it was not started by a supervisor.
    package init(
        settings: Settings, handover: Handover? = nil, metrics: MetricsRegistry, logger: Logger
    ) async throws {
        if handover == nil { try StateFolders.make(settings) }
        locks = try handover == nil ? InstanceLocks.guardAlone(settings) : nil
        if handover == nil { try StateRelease(folder: settings.local.stateDirectory).claim() }
        adminSocket = settings.egressAdminSocket
        var configuration = try EgressPlane.configuration(settings, logger: logger)
        configuration.lists = try EgressPlane.lists(settings)
        configuration.metrics = { metrics.prometheusText() }
        configuration.metricsAddress = settings.egress.metricsAddress
        configuration.openListeners.policy = handover?.listeners[ListenerName.policy]
        configuration.openListeners.admin = handover?.listeners[ListenerName.admin]
        configuration.openListeners.metrics = handover?.listeners[ListenerName.guardMetrics]
        let exports = try Telemetry.exports(
            settings, metrics, of: .egress, environment: ProcessInfo.processInfo.environment, logger: logger)
        configuration.tracer = exports.tracer
        node = try await EgressNode(configuration: configuration, logger: logger)
        Telemetry.collect(node, into: metrics)
        metrics.collect(ResourceUse(prefix: "egress"))
        export = exports.start()
        try handover?.follow(logger) { [node] in Self.change(node, to: $0, logger) }
    }

    /// Takes over what may change while it runs: the presets, which may be others in the same folders.
    package func change(to settings: Settings, _ logger: Logger) { Self.change(node, to: settings, logger) }

    private static func change(_ node: EgressNode, to settings: Settings, _ logger: Logger) {
        do throws(ConfigurationError) {
            node.use(Presets(try Installation.current.presetFiles(settings.egress)))
        } catch {
            logger.error("the presets cannot be used; the previous ones stay in force", metadata: ["error": "\(error)"])
        }
    }

    package func shutdown() async {
        await node.shutdown()
        await Exports.end(export)
    }
}

/// The gateway in its own process, which follows the server's directory and does not read its store.
package final class IngressProgram: Sendable {
    package let port: Int
    private let gateway: Gateway
    private let follower: Task<Void, Never>
    private let export: Task<Void, Never>

    package init(settings: Settings, metrics: MetricsRegistry, logger: Logger) async throws {
        try StateFolders.make(settings)
        let secrets = try Secrets.load(settings)
        var publisher: RenewPublisher?
        if settings.renewal.isEnabled, let redis = settings.renewal.redis {
            var intents = RenewPublisher.Settings(address: redis.address)
            (intents.queue, intents.queueLimit) = (redis.queue, redis.queueLimit)
            intents.interval = .seconds(settings.renewal.interval)
            publisher = RenewPublisher(intents, logger: logger)
        }
        let directory = RemoteDirectory(
            address: DirectoryAddress(.unix(path: settings.directorySocket)), secret: secrets.directory,
            renewals: publisher, logger: logger)
        let exports = try Telemetry.exports(
            settings, metrics, of: .gateway, environment: ProcessInfo.processInfo.environment, logger: logger)
        var configuration = try GatewayConfiguration(settings, keys: secrets.keys, logger: logger)
        configuration.tracer = exports.tracer
        gateway = Gateway(
            configuration: configuration, directory: directory, group: MultiThreadedEventLoopGroup.singleton,
            logger: logger)
        port = try await gateway.start().port ?? 0
        export = exports.start()
        follower = Task {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await directory.follow() }
                group.addTask { [publisher] in await publisher?.run() }
                group.addTask { await secrets.keyFile?.follow(secrets.keys, logger) }
            }
        }
    }

    /// Takes over what may change while it runs (`SettingKey.live`).
    package func change(to settings: Settings) {
        gateway.change(traffic: settings.gateway.traffic, accessLog: settings.gateway.accessLog)
    }

    package func shutdown() async {
        follower.cancel()
        await gateway.shutdown()
        await Exports.end(export)
    }
}
