import ArgumentParser
import ControlPlane
import FoundationEssentials
import Logging
import Observability
import ProgramSupport
import System

#if canImport(Glibc)
    import Glibc
#endif

/// What a command gets when it is set up.
struct Program: Sendable {
    var settings: Settings
    var metrics: MetricsRegistry
    var logger: Logger
    var logFormat: LogFormat

    static var isInteractive: Bool { isatty(STDIN_FILENO) == 1 }
    /// Whether output is only seen on a terminal, and not stored.
    static var showsSecrets: Bool { isatty(STDOUT_FILENO) == 1 }

    /// Reads the configuration and sets up the log.
    /// - Parameter process: which one it is, where several write one log.
    static func prepare(
        _ options: CommonOptions, process: String? = nil, adjust: (inout Settings) -> Void
    ) throws -> Program {
        var settings: Settings
        do {
            settings = try Settings.load(path: options.config, environment: ProcessInfo.processInfo.environment)
        } catch { throw failure(error) }
        try options.serveOptions().apply(to: &settings)
        guard let format = LogFormat(rawValue: options.logFormat) else {
            throw ValidationError("--log-format \(options.logFormat) is unknown; use text or json")
        }
        adjust(&settings)
        return Program(settings: settings, logFormat: format, process: process)
    }

    init(settings: Settings, logFormat: LogFormat, process: String?) {
        self.settings = settings
        self.logFormat = logFormat
        metrics = Observability.bootstrap(level: settings.logLevel, format: logFormat, process: process)
        logger = Logger(label: "sallyport")
        LongRunning.prepare()
    }

    /// Reads the configuration, starts, waits for SIGTERM or SIGINT, and stops.
    static func run(
        _ options: CommonOptions, adjust: (inout Settings) -> Void,
        start: @escaping @Sendable (Program) async throws -> @Sendable () async -> Void
    ) throws {
        let program = try prepare(options, adjust: adjust)
        try program.run(start)
    }

    /// Starts, waits for SIGTERM or SIGINT, and stops.
    func run(_ start: @escaping @Sendable (Program) async throws -> @Sendable () async -> Void) throws {
        try MainThread.wait { [self] in
            let signals = try EndSignals.listen()
            let stop: @Sendable () async -> Void
            do { stop = try await start(self) } catch { throw Self.failure(error) }
            await signals.wait()
            await stop()
        }
    }

    /// An error as a person reads it.
    static func failure(_ error: any Error) -> any Error {
        Console.complain("sallyport: \(error)\n")
        return ExitCode(1)
    }
}

extension CommonOptions {
    /// What the command line says in the configuration's place.
    func serveOptions() throws -> ServeOptions {
        var options = ServeOptions()
        (options.stateDirectory, options.runDirectory, options.logFormat) = (stateDirectory, runDirectory, logFormat)
        if let name = logLevel {
            guard let level = Observability.level(named: name) else {
                throw ValidationError("--log-level \(name) is unknown; use DEBUG, INFO, WARNING or ERROR")
            }
            options.logLevel = level.rawValue
        }
        return options
    }
}
