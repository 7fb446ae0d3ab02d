import ArgumentParser
import ControlPlane
import FoundationEssentials
import Logging
import Observability
import ProgramSupport

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

    /// Reads the configuration, starts, waits for SIGTERM or SIGINT, and stops.
    static func run(
        _ options: CommonOptions, adjust: (inout Settings) -> Void,
        start: (Program) async throws -> @Sendable () async -> Void
    ) async throws {
        var settings: Settings
        do {
            settings = try Settings.load(path: options.config, environment: ProcessInfo.processInfo.environment)
        } catch { throw failure(error) }
        settings.local.stateDirectory = options.stateDirectory ?? settings.local.stateDirectory
        settings.local.runDirectory = options.runDirectory ?? settings.local.runDirectory
        if let name = options.logLevel {
            guard let level = Observability.level(named: name) else {
                throw ValidationError("--log-level \(name) is unknown; use DEBUG, INFO, WARNING or ERROR")
            }
            settings.logLevel = level
        }
        guard let format = LogFormat(rawValue: options.logFormat) else {
            throw ValidationError("--log-format \(options.logFormat) is unknown; use text or json")
        }
        adjust(&settings)
        let metrics = Observability.bootstrap(level: settings.logLevel, format: format)
        LongRunning.prepare()
        let signals = await EndSignals.listen()
        let stop: @Sendable () async -> Void
        do {
            stop = try await start(
                Program(
                    settings: settings, metrics: metrics, logger: Logger(label: "sallyport"), logFormat: format))
        } catch { throw failure(error) }
        await signals.first()
        await stop()
    }

    /// Prints an error for people.
    private static func failure(_ error: any Error) -> any Error {
        Console.complain("sallyport: \(error)\n")
        return ExitCode(1)
    }
}
