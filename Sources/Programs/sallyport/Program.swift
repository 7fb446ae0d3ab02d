import ArgumentParser
import ControlPlane
import FoundationEssentials
import Logging
import Observability
import ProgramSupport
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// What a command gets when it is set up.
struct Program: Sendable {
    var settings: Settings
    var metrics: MetricsRegistry
    var logger: Logger

    static var isInteractive: Bool { isatty(STDIN_FILENO) == 1 }
    /// Whether output is only seen on a terminal, and not stored.
    static var showsSecrets: Bool { isatty(STDOUT_FILENO) == 1 }

    /// Ends the program for other users.
    /// - Parameter reason: what it does that only root may.
    static func requireRoot(_ reason: String) throws {
        guard geteuid() != 0 else { return }
        Console.complain("sallyport: \(reason), so it needs root: run it with sudo, or as a unit of systemd\n")
        throw ExitCode(77)
    }

    /// Reads the configuration and sets up the log.
    /// - Parameters:
    ///   - process: which one it is, where several write one log.
    ///   - adjust: applies further options of the command line.
    ///   - check: refuses what the program cannot run with.
    static func prepare(
        _ options: CommonOptions, process: String? = nil, adjust: @escaping @Sendable (inout Settings) -> Void,
        check: @escaping @Sendable (Settings) throws(ConfigurationError) -> Void = { (_) throws(ConfigurationError) in }
    ) throws -> (program: Program, configuration: RunningConfiguration) {
        let common = try options.serveOptions()
        do {
            let configuration = try RunningConfiguration(
                path: options.config, environment: ProcessInfo.processInfo.environment,
                adjust: {
                    common.apply(to: &$0)
                    adjust(&$0)
                }, check: check)
            let settings = try configuration.settings()
            if let file = settings.log.file { try LogWriter.start(file) }
            return (Program(settings: settings, process: process), configuration)
        } catch { throw failure(error) }
    }

    init(settings: Settings, process: String?) {
        self.settings = settings
        metrics = Observability.bootstrap(level: settings.logLevel, format: settings.log.format, process: process)
        logger = Logger(label: "sallyport")
        LongRunning.prepare()
    }

    /// What a program does until it is asked to end.
    struct Running: Sendable {
        var stop: @Sendable () async -> Void
        /// Takes over what has changed in the configuration.
        var change: @Sendable (Settings) -> Void = { _ in }
    }

    /// Reads the configuration, starts, waits for SIGTERM or SIGINT, and stops.
    static func run(
        _ options: CommonOptions, adjust: @escaping @Sendable (inout Settings) -> Void,
        start: @escaping @Sendable (Program) async throws -> Running
    ) throws {
        let (program, configuration) = try prepare(options, adjust: adjust)
        try program.run(configuration, start)
    }

    /// Starts, waits for SIGTERM or SIGINT, and stops.
    /// - Parameter configuration: is read again on SIGHUP; nil where another process does that.
    func run(
        _ configuration: RunningConfiguration?, _ start: @escaping @Sendable (Program) async throws -> Running
    ) throws {
        let changes = Changes()
        do {
            try HangUps.follow { [logger] in
                guard let settings = configuration?.reload(logger) else { return }
                Observability.level = settings.logLevel
                changes.take(settings)
            }
        } catch { throw Self.failure(error) }
        try MainThread.wait { [self] in
            let signals = try EndSignals.listen()
            let running: Running
            do { running = try await start(self) } catch { throw Self.failure(error) }
            changes.follow(running.change)
            await signals.wait()
            await running.stop()
        }
    }

    /// Settings that have changed, also before the program was there to take them.
    private final class Changes: Sendable {
        private let state = Mutex<(last: Settings?, body: (@Sendable (Settings) -> Void)?)>((nil, nil))

        func take(_ settings: Settings) {
            state.withLock { state in
                state.last = settings
                state.body?(settings)
            }
        }

        func follow(_ body: @escaping @Sendable (Settings) -> Void) {
            state.withLock { state in
                state.body = body
                state.last.map(body)
            }
        }
    }

    /// An error as a person reads it.
    static func failure(_ error: any Error) -> any Error {
        Console.complain("sallyport: \(error)\n")
        // Whoever has started it looks there first.
        LogWriter.complain("sallyport: \(error)\n")
        return ExitCode(1)
    }
}

extension CommonOptions {
    /// What the command line says in the configuration's place.
    func serveOptions() throws -> ServeOptions {
        var options = ServeOptions()
        (options.stateDirectory, options.runDirectory) = (stateDirectory, runDirectory)
        if let logFormat {
            guard LogFormat(rawValue: logFormat) != nil else {
                throw ValidationError("--log-format \(logFormat) is unknown; use text or json")
            }
            options.logFormat = logFormat
        }
        if let name = logLevel {
            guard let level = Observability.level(named: name) else {
                throw ValidationError("--log-level \(name) is unknown; use DEBUG, INFO, WARNING or ERROR")
            }
            options.logLevel = level.rawValue
        }
        return options
    }
}
