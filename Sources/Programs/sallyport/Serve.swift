import ArgumentParser
import ControlPlane
import FoundationEssentials
import Logging
import Observability
import ProgramSupport
import Supervision

/// `sallyport serve`
struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Run the lifecycle server, the guard and the gateway.")

    @OptionGroup var common: CommonOptions
    @Option(help: "Where the lifecycle API listens.") var host: String?
    @Option(help: "Where the lifecycle API listens.") var port: Int?
    @Option(help: "Where the gateway listens.") var gatewayPort: Int?
    @Option(help: "The static execd that sandboxes start with.") var execd: String?
    @Flag(
        inversion: .prefixedNo, exclusivity: .chooseLast,
        help: "Run all of it in one process: less memory, and what ends one part ends all (docs/processes.md).")
    var singleProcess = false

    func run() throws {
        // Before anything is made, since what is half made is then another user's.
        try Program.requireRoot("serve makes network namespaces, firewall rules and mounts")
        var options = try common.serveOptions()
        (options.host, options.port, options.gatewayPort, options.execd) = (host, port, gatewayPort, execd)
        let environment = ProcessInfo.processInfo.environment
        let isInteractive = Program.isInteractive
        let (program, configuration) = try Program.prepare(
            common, process: singleProcess ? nil : "supervisor", adjust: { [options] in options.apply(to: &$0) },
            check: { (settings) throws(ConfigurationError) in
                try settings.requireKey(isInteractive: isInteractive, environment: environment)
            })
        guard singleProcess else { return try supervise(program, configuration, options, environment) }
        try program.run(configuration) { program in
            let server = try await AllInOneServer(
                settings: program.settings, metrics: program.metrics, logger: program.logger)
            program.greet(server.facts)
            return Program.Running(stop: { await server.shutdown() }) { server.change(to: $0, program.logger) }
        }
    }

    private func supervise(
        _ program: Program, _ configuration: RunningConfiguration, _ options: ServeOptions,
        _ environment: [String: String]
    ) throws {
        do {
            let processes = try ServeProcesses(
                settings: program.settings, configuration: configuration, options: options, environment: environment,
                logger: program.logger)
            try processes.run { program.greet($0) }
        } catch is PartFailure {
            // It has said itself why.
            LogWriter.complain("sallyport: it could not start; the log says why\n")
            throw ExitCode(1)
        } catch { throw Program.failure(error) }
    }
}

extension Program {
    func greet(_ facts: ServeFacts) {
        if settings.log.format == .text {
            Console.say(Greeting(facts, showsKey: Program.showsSecrets).text)
        } else {
            // Whoever collects lines of JSON takes nothing else.
            logger.info("ready", metadata: Greeting.fields(facts))
        }
        tellReady()
    }

    /// For whoever has started it. Whoever collects lines of JSON takes nothing else.
    func say(_ text: String) {
        if settings.log.format == .text { Console.say(text + "\n") } else { logger.info("\(text)") }
    }

    /// Whoever waits for the program to serve.
    func tellReady() {
        do { try ServiceManager.tellReady() } catch {
            logger.warning("systemd may take the program for one that does not start", metadata: ["error": "\(error)"])
        }
    }
}

/// `sallyport process`: one of the processes of `sallyport serve`, which starts it.
struct ProcessCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "process", abstract: "One of the processes of `sallyport serve`.", shouldDisplay: false)

    @Argument(help: "For people who look at the list of processes.") var part: String

    func run() throws {
        let handover: Handover, settings: Settings, missing: [String]
        do {
            handover = try Handover.receive()
            try handover.confine()
            settings = try handover.settings()
            missing = try handover.confineFurther(settings)
        } catch { throw Program.failure(error) }
        let program = Program(settings: settings, process: handover.part.rawValue)
        // The supervisor reads the configuration for all.
        try program.run(nil) { program in
            let (settings, metrics, logger) = (program.settings, program.metrics, program.logger)
            for what in missing {
                logger.warning("the kernel cannot confine this process completely", metadata: ["lacks": "\(what)"])
            }
            let stop: @Sendable () async -> Void
            switch handover.part {
            case .egress:
                let guardian = try await EgressProgram(
                    settings: settings, handover: handover, metrics: metrics, logger: logger)
                stop = { await guardian.shutdown() }
            case .server:
                let server = try await AllInOneServer(
                    settings: settings, handover: handover, metrics: metrics, logger: logger)
                stop = { await server.shutdown() }
            case .gateway:
                let gateway = try await GatewayPart(handover, metrics: metrics, logger: logger)
                stop = { await gateway.shutdown() }
            }
            handover.tellReady()
            return Program.Running(stop: stop)
        }
    }
}

/// `sallyport guard`
struct GuardCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "guard",
        abstract: "Run the guard alone, for a server with egress.external = true.",
        // Its name until there was the sidecar, sallyport-egress, beside it.
        aliases: ["egress"])

    @OptionGroup var common: CommonOptions

    func run() throws {
        // Before anything is made, as of `serve`.
        try Program.requireRoot("the guard makes firewall rules in the namespaces of sandboxes")
        try Program.run(common) { _ in
        } start: { program in
            let guardian = try await EgressProgram(
                settings: program.settings, metrics: program.metrics, logger: program.logger)
            program.say("the guard serves on \(guardian.adminSocket)")
            program.tellReady()
            return Program.Running(stop: { await guardian.shutdown() }) { guardian.change(to: $0, program.logger) }
        }
    }
}

/// `sallyport ingress`
struct IngressCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ingress",
        abstract: "Run the gateway alone, for a server with ingress.external = true.")

    @OptionGroup var common: CommonOptions
    @Option(help: "Where the gateway listens.") var host: String?
    @Option(help: "Where the gateway listens.") var port: Int?
    @OptionGroup var tls: TLSOptions

    func run() throws {
        try Program.run(common) { [host, port, tls] settings in
            settings.gateway.host = host ?? settings.gateway.host
            settings.gateway.port = port ?? settings.gateway.port
            tls.apply(to: &settings)
        } start: { program in
            let gateway = try await IngressProgram(
                settings: program.settings, metrics: program.metrics, logger: program.logger)
            program.say(
                "the gateway listens on \(Greeting.address(program.settings.gateway.host, gateway.port))")
            program.tellReady()
            return Program.Running {
                await gateway.shutdown()
            } change: {
                gateway.change(to: $0)
            }
        }
    }
}
