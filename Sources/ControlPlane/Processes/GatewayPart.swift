import FoundationEssentials
import HTTPClient
import HTTPServer
import Ingress
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Observability
import SecureAccess
import Supervision
import System

/// The gateway as a process of `sallyport serve`, of a user that owns nothing. It follows the server's directory, asks over the
/// link for what it may not do, and gets its certificates and keys from the supervisor. Its present folder is that
/// of the sockets.
package final class GatewayPart: Sendable {
    private let gateway: Gateway
    private let metricsServer: HTTPServer
    private let follower: Task<Void, Never>
    private let export: Task<Void, Never>

    /// How long it waits for the server's word before it tells clients that there is none.
    private static let patience = Duration.seconds(1)

    package init(_ handover: Handover, metrics: MetricsRegistry, logger: Logger) async throws {
        let settings = try handover.settings()
        guard let folder = handover.folder else { throw ConfigurationError("the gateway was given no files") }
        let files = try SuppliedFiles(descriptor: handover.files)
        let (secretPath, keysPath) = (Secrets.directoryFile(settings).path, KeyFile(settings).path)
        guard let secret = files.secret(secretPath), let ring = files.secret(keysPath) else {
            throw ConfigurationError("\(secretPath) or \(keysPath) cannot be read")
        }
        let keys = LiveKeys(try KeyRing.parse(ring))
        let link = LinkClient(path: Self.name(settings.linkSocket), logger: logger)
        let directory = RemoteDirectory(
            address: DirectoryAddress(.unix(path: Self.name(settings.directorySocket))), secret: secret,
            renewals: settings.renewal.isEnabled ? link : nil, socketFolder: settings.local.runDirectory, logger: logger
        )
        let (arrivals, arrival) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        directory.whenApplied { position in
            link.tell(position)
            arrival.yield()
        }
        let health = PartsHealth(board: try ProcessBoard(descriptor: handover.board))
        var configuration = try GatewayConfiguration(
            settings, keys: keys, spentTokensFile: "/proc/self/fd/\(folder)/" + Self.name(settings.spentTokensFile),
            logger: logger)
        configuration.files = files
        configuration.openListener = handover.listeners[ListenerName.gateway]
        configuration.openTLSListener = handover.listeners[ListenerName.gatewayTLS]
        configuration.down = { health.down.map(\.rawValue) }
        let exports = try Telemetry.exports(
            settings, metrics, of: .gateway, environment: ProcessInfo.processInfo.environment, logger: logger)
        configuration.tracer = exports.tracer
        let group = MultiThreadedEventLoopGroup.singleton
        gateway = Gateway(
            configuration: configuration, directory: directory, group: group,
            dialer: settings.gateway.reachesLoopback ? link : nil, logger: logger)
        var http = HTTPAPI(.exact, logger: logger, render: Reply.errors(logger))
        http.on(.GET, "/metrics") { _ in .metrics(metrics.prometheusText()) }
        http.on(.GET, "/ready") { _ in .empty(directory.isCurrent ? .ok : .serviceUnavailable) }
        metricsServer = HTTPServer(group: group, logger: logger, application: http)
        try link.start()
        files.whenChanged { path in
            guard path == keysPath, let text = files.secret(path) else { return }
            KeyFile(path: path).take(text, into: keys, logger)
        }
        handover.whenChanged(files, logger) { [gateway] in
            gateway.change(traffic: $0.gateway.traffic, accessLog: $0.gateway.accessLog)
        }
        try DetachedThread.start { files.follow() }
        follower = Task { await directory.follow() }
        export = exports.start()
        // What a client of the world sends is read only after that.
        // The filter lets no code be loaded. Without libcurl, exports fail and say why.
        if !exports.isEmpty { try? HTTPClient.load() }
        if try !Confinement.relayOnly(readsFiles: !exports.isEmpty) {
            logger.warning("this kernel filters no system calls: the gateway may do all that its user may")
        }
        await Self.first(of: arrivals)
        _ = try await gateway.start()
        if let listener = handover.listeners[ListenerName.gatewayMetrics] {
            try await metricsServer.start(on: .open(descriptor: listener))
        }
    }

    package func shutdown() async {
        follower.cancel()
        await gateway.shutdown()
        await metricsServer.shutdown(grace: .zero)
        await Exports.end(export)
    }

    /// The last part of a path: it is reached from a folder, of which those above may not be entered.
    private static func name(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

    private static func first(of arrivals: AsyncStream<Void>) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for await _ in arrivals { break } }
            group.addTask { try? await Task.sleep(for: patience) }
            await group.next()
            group.cancelAll()
        }
    }
}
