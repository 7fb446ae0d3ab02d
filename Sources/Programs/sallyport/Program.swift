import ArgumentParser
import ControlPlane
import Dispatch
import FoundationEssentials
import Logging
import Observability

#if canImport(Glibc)
    import Glibc
#endif

/// What a command's program has once it is set up.
struct Program: Sendable {
    var settings: Settings
    var metrics: MetricsRegistry
    var logger: Logger

    static var isInteractive: Bool { isatty(STDIN_FILENO) == 1 }

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
        signal(SIGPIPE, SIG_IGN)
        raiseFileLimit()
        let stop: @Sendable () async -> Void
        do {
            stop = try await start(
                Program(settings: settings, metrics: metrics, logger: Logger(label: "sallyport")))
        } catch { throw failure(error) }
        await signalled()
        await stop()
    }

    /// What the gateway's connections need, two descriptors each, and room beside them.
    private static let files: rlim_t = 1 << 16

    /// A shell gives 1024 descriptors, and often no more than 20,000 may be asked for: root may go beyond.
    private static func raiseFileLimit() {
        let kind = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard getrlimit(kind, &limit) == 0, limit.rlim_cur < files else { return }
        var wanted = rlimit(rlim_cur: files, rlim_max: max(files, limit.rlim_max))
        if setrlimit(kind, &wanted) == 0 { return }
        wanted = rlimit(rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max)
        setrlimit(kind, &wanted)
    }

    /// Writes to standard output at once, also where that is a pipe.
    static func say(_ text: String) {
        FileHandleText.write(text, to: STDOUT_FILENO)
    }

    /// An error as a person reads it.
    private static func failure(_ error: any Error) -> any Error {
        say("")
        FileHandleText.write("sallyport: \(error)\n", to: STDERR_FILENO)
        return ExitCode(1)
    }

    /// Returns at the first SIGTERM or SIGINT; a second one ends the program at once.
    private static func signalled() async {
        let (signals, heard) = AsyncStream<Void>.makeStream()
        let sources = [SIGTERM, SIGINT].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number)
            source.setEventHandler {
                heard.yield()
                signal(number, SIG_DFL)
            }
            source.resume()
            return source
        }
        for await _ in signals { break }
        withExtendedLifetime(sources) {}
    }
}

private enum FileHandleText {
    static func write(_ text: String, to descriptor: CInt) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard written > 0 else { return }
            rest = rest.dropFirst(written)
        }
    }
}
