import ArgumentParser
import FoundationEssentials
import Ingress
import Logging
import NIOCore
import NIOPosix
import Observability
import ProgramSupport
import SecureAccess
import Spelling
import Supervision
import System

/// The stand-alone gateway, which needs only a server's directory.
@main
struct SallyportIngress {
    static func main() {
        TaskThreads.install()
        let arguments = Arguments.normalized(
            Array(CommandLine.arguments.dropFirst()), switches: IngressOptions.switches)
        do {
            let command = try Command.parse(arguments)
            try MainThread.wait { try await command.run() }
        } catch { Command.exit(withError: error) }
    }
}

struct Command: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sallyport-ingress", abstract: "Let clients reach the ports of sandboxes by HTTP and WebSocket.",
        version: "sallyport-ingress \(Observability.release)")

    @OptionGroup var options: IngressOptions
    @OptionGroup var tls: TLSFlags

    func run() async throws {
        let level = options.logLevel.lowercased() == "warn" ? "warning" : options.logLevel
        guard let level = Observability.level(named: level) else {
            throw ValidationError("--log-level must be debug, info, warn or error")
        }
        let environment = ProcessInfo.processInfo.environment
        if let problem = Variables.problem(
            in: environment, known: ["OPENSANDBOX_SECURE_ACCESS_KEYS"], foreign: "OPENSANDBOX_EGRESS_")
        {
            throw ValidationError("\(problem.variable): \(problem.reason)")
        }
        guard let format = LogFormat(rawValue: options.logFormat) else {
            throw ValidationError("--log-format must be text or json")
        }
        let metrics = Observability.bootstrap(level: level, format: format)
        LongRunning.prepare()
        let signals: EndSignals
        do {
            signals = try EndSignals.listen()
            try await serve(until: signals, metrics, Logger(label: "sallyport-ingress"))
        } catch {
            Console.complain("sallyport-ingress: \(error)\n")
            throw ExitCode(1)
        }
    }

    private func serve(
        until signals: EndSignals, _ metrics: MetricsRegistry, _ logger: Logger
    ) async throws {
        let environment = ProcessInfo.processInfo.environment, service = "opensandbox-ingress"
        let exports = Exports(
            metrics: try OTLPConfiguration(environment: environment, service: service),
            traces: try TraceConfiguration(environment: environment, service: service), registry: metrics,
            scope: "opensandbox/ingress", logger: logger)
        let publisher = try options.renewals().map { RenewPublisher($0, logger: logger) }
        let directory = RemoteDirectory(
            address: try DirectoryAddress(options.directory),
            secret: try SecretText(path: options.directorySecretFile).read(), renewals: publisher, logger: logger)
        let file = options.secureAccessKeysFile.map { SecretText(path: $0) }
        let given = options.secureAccessKeys ?? ProcessInfo.processInfo.environment["OPENSANDBOX_SECURE_ACCESS_KEYS"]
        let keys = try (file?.read() ?? given).flatMap { $0.isEmpty ? nil : LiveKeys(try KeyRing.parse($0)) }
        var configuration = GatewayConfiguration(mode: options.routeMode, keys: keys)
        configuration.host = options.host
        configuration.port = options.port
        configuration.tls = tls.listener(host: options.host)
        configuration.acceptsVersion1 = options.secureAccessV1 == .accept
        configuration.traffic = options.traffic
        configuration.accessLog = options.accessLog
        configuration.trustedProxies = TrustedProxies(options.trustedProxies) ?? .none
        configuration.tellsIdentity = options.identityHeader
        configuration.cookies = options.cookies
        configuration.spentTokens = try options.oneTimeFile.map {
            try SpentTokens(path: $0, now: SystemClock.wallSeconds())
        }
        configuration.tracer = exports.tracer
        let gateway = Gateway(
            configuration: configuration, directory: directory, group: MultiThreadedEventLoopGroup.singleton,
            logger: logger)
        let address = try await gateway.start()
        let following = Task {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await directory.follow() }
                group.addTask { await publisher?.run() }
                if let file, let keys { group.addTask { await file.follow(keys, logger) } }
            }
        }
        let greeting = "the gateway listens on \(options.host):\(address.port ?? 0)"
        // Whoever collects lines of JSON takes nothing else.
        if options.logFormat == LogFormat.text.rawValue {
            Console.say(greeting + "\n")
        } else {
            logger.info("\(greeting)")
        }
        do { try ServiceManager.tellReady() } catch {
            logger.warning("systemd may take the program for one that does not start", metadata: ["error": "\(error)"])
        }
        let export = exports.start()
        await signals.wait()
        following.cancel()
        await gateway.shutdown()
        await Exports.end(export)
    }
}
