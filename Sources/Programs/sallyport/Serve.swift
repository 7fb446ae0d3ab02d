import ArgumentParser
import ControlPlane
import FoundationEssentials
import Logging
import Observability
import ProgramSupport

/// `sallyport serve`
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Run the lifecycle server, the guard and the gateway.")

    @OptionGroup var common: CommonOptions
    @Option(help: "Where the lifecycle API listens.") var host: String?
    @Option(help: "Where the lifecycle API listens.") var port: Int?
    @Option(help: "Where the gateway listens.") var gatewayPort: Int?
    @Option(help: "The static execd that sandboxes start with.") var execd: String?

    func run() async throws {
        try await Program.run(common) { settings in
            settings.server.host = host ?? settings.server.host
            settings.server.port = port ?? settings.server.port
            settings.gateway.port = gatewayPort ?? settings.gateway.port
            settings.local.execd = execd ?? settings.local.execd
        } start: { program in
            try program.settings.requireKey(
                isInteractive: Program.isInteractive, environment: ProcessInfo.processInfo.environment)
            let appliance = try await Appliance(
                settings: program.settings, metrics: program.metrics, logger: program.logger)
            if program.logFormat == .text {
                Console.say(Greeting(appliance, showsKey: Program.showsSecrets).text)
            } else {
                // Collectors of JSON lines accept nothing else.
                program.logger.info("ready", metadata: Greeting.fields(appliance))
            }
            return { await appliance.shutdown() }
        }
    }
}

/// `sallyport egress`
struct EgressCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "egress",
        abstract: "Run the guard alone, for a server with egress.external = true.")

    @OptionGroup var common: CommonOptions

    func run() async throws {
        try await Program.run(common) { _ in
        } start: { program in
            let guardian = try await EgressProgram(
                settings: program.settings, metrics: program.metrics, logger: program.logger)
            Console.say("the guard serves on \(guardian.adminSocket)\n")
            return { await guardian.shutdown() }
        }
    }
}

/// `sallyport ingress`
struct IngressCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ingress",
        abstract: "Run the gateway alone, for a server with ingress.external = true.")

    @OptionGroup var common: CommonOptions
    @Option(help: "Where the gateway listens.") var host: String?
    @Option(help: "Where the gateway listens.") var port: Int?
    @OptionGroup var tls: TLSOptions

    func run() async throws {
        try await Program.run(common) { settings in
            settings.gateway.host = host ?? settings.gateway.host
            settings.gateway.port = port ?? settings.gateway.port
            tls.apply(to: &settings)
        } start: { program in
            let gateway = try await IngressProgram(settings: program.settings, logger: program.logger)
            Console.say("the gateway listens on \(program.settings.gateway.host):\(gateway.port)\n")
            return { await gateway.shutdown() }
        }
    }
}
