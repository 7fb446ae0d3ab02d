import HTTPServer
import LogLines
import Logging
import NIOCore
import NIOPosix
import Spelling
import System
import Tracing

#if canImport(Glibc)
    import Glibc
#endif

/// The API as it is served, and how it ends.
struct Service: Sendable {
    let server: HTTPServer
    let api: ExecdAPI
    /// Where it listens.
    let address: SocketAddress
    /// Its one event loop.
    let group: any EventLoopGroup
    private let runner: CommandRunner
    private let contexts: CodeContexts
    private let hooks: PeriodicHooks
    private let export: TelemetryExport
    private let exporting: Task<Void, Never>

    /// How long streams get for their last events, and commands before they are killed.
    private static let grace = TimeAmount.seconds(5), patience = Duration.seconds(1)
    private static let reason = "execd is stopping"

    /// Serves the API, on every address of the sandbox unless it is told one.
    static func start(_ options: Options, environment: [ExactName: String]) async throws -> Service {
        OpenFiles.raise()
        let logger = try Self.logger(options, environment)
        let access: AccessRule =
            if let path = options.tokenFile {
                .token(String(decoding: try File.read(path), as: UTF8.self).filter { !$0.isWhitespace })
            } else {
                environment[Setting.accessToken.name].map { .token($0) } ?? .nothing
            }
        let gate = GatedStart(
            // A script of the image may have changed the variable.
            isGated: options.started != nil || Truth(environment[Setting.gatedStart.name] ?? "") == .yes,
            file: options.stateFile,
            started: options.started)
        let telemetry = TelemetrySettings(environment, version: Release.version)
        for problem in telemetry.problems { logger.warning("\(problem)") }
        let meter = telemetry.metrics.map { _ in Meter() }
        let tracer = telemetry.traces.map { _ in Tracer(telemetry.sampler, spans: SpanQueue()) }
        let runner = CommandRunner(
            environment: CommandEnvironment(environment, group: options.commandGroup, gate: gate),
            maxLine: options.maxLine, meter: meter)
        let expansion = PathExpansion(home: environment["HOME"] ?? "/")
        let sessions = SessionAPI(runner: runner, expansion: expansion)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let kernels = KernelChoice(environment, runner: runner, group: group)
        let idle = environment[Setting.contextIdle.name].flatMap { GoDuration($0) }
        let contexts = CodeContexts(
            longestIdle: idle?.milliseconds ?? CodeContexts.longIdle,
            makeKernel: { try await kernels.kernel($0, id: $1, folder: $2) })
        let code = CodeAPI(contexts: contexts, runner: runner, expansion: expansion) { id in
            if await runner.interrupt(id) { return true }
            return try await sessions.delete(id)
        }
        let isolation = try IsolationSettings.read(environment)
        for problem in isolation.problems(inFolder: options.isolation) { logger.warning("\(problem)") }
        let hooks = PeriodicHooks(runner: runner, logger: logger)
        let periodic = (try? LifecycleHooks.configured(environment))?.periodic ?? []
        // At once, since an earlier server may have left something.
        let built = options.builder == nil ? nil : sessionHost(options, isolation)
        let isolated = IsolatedSessions(environment: runner.environment, settings: isolation) {
            built ?? sessionHost(options, isolation)
        }
        let api = ExecdAPI(
            system: SystemAPI(commands: runner.registry), commands: CommandAPI(runner: runner), sessions: sessions,
            code: code, terminals: TerminalAPI(runner: runner, expansion: expansion),
            files: FilesAPI(expansion: expansion, group: group),
            isolation: IsolationAPI(sessions: isolated, runner: runner, home: expansion.home, group: group),
            start: InitAPI(gate: gate, runner: runner, hooks: hooks, configured: periodic, access: access),
            proxy: PortProxy(ownPort: options.port, sidecar: options.sidecar),
            access: access, logger: logger, meter: meter, tracer: tracer)
        let export = TelemetryExport(
            settings: telemetry, tracer: tracer, readings: SystemReadings(meter: meter, sessions: isolated), gate: gate,
            group: group, logger: logger)
        let server = HTTPServer(group: group, logger: logger, application: api.http)
        let address = try await listen(server, options)
        if gate.isOpen { hooks.begin(periodic) }
        hooks.begin(gate.told?.lifecycle?.periodic ?? [])
        if gate.isHeld { rehearse(gate, runner.environment, port: address.port ?? options.port) }
        return Service(
            server: server, api: api, address: address, group: group, runner: runner, contexts: contexts, hooks: hooks,
            export: export, exporting: Task { await export.run() })
    }

    /// Where a sandbox is told at once, as containers of an engine are, its use would wait for a rehearsal.
    private static func rehearse(_ gate: GatedStart, _ environment: CommandEnvironment, port: Int) {
        Task {
            try await Task.sleep(for: .milliseconds(20))
            if !gate.isOpen { await Rehearsal.run(environment, port: port) }
        }
    }

    /// Who builds isolated sessions: init, or, where execd has the rights itself (in a container that was given them), a process of
    /// its own. nil where nobody can.
    private static func sessionHost(_ options: Options, _ settings: IsolationSettings) -> SessionHost? {
        let folder = options.isolation ?? settings.upperRoot ?? "/var/lib/execd/isolation"
        let host: SessionHost
        if let builder = options.builder {
            host = SessionHost(folder: folder, starter: SessionChannel(descriptor: builder), isGuarded: true)
        } else {
            let builders = SessionBuilders(folder: folder, executable: options.program, group: options.commandGroup)
            guard let builders, builders.start() != nil else { return nil }
            host = SessionHost(folder: folder, starter: SessionChannel(descriptor: builders.asking), isGuarded: false)
        }
        host.removeStale()
        return host
    }

    private static func listen(_ server: HTTPServer, _ options: Options) async throws -> SocketAddress {
        let port = options.port
        if let listener = options.listener {
            guard Glibc.listen(listener, 128) == 0 else { throw ListenError(place: "its socket", code: errno) }
            return try await server.start(on: .open(descriptor: listener))
        }
        if let address = options.address { return try await server.start(on: .tcp(host: address, port: port)) }
        do {
            // "::" accepts IPv4 as well.
            return try await server.start(on: .tcp(host: "::", port: port))
        } catch let error as ListenError where error.code == EAFNOSUPPORT || error.code == EADDRNOTAVAIL {
            return try await server.start(on: .tcp(host: "0.0.0.0", port: port))
        }
    }

    /// Commands, runs of sessions and shells of terminals.
    var runningCommands: Int { runner.registry.runningCount }

    /// Ends what runs, each stream with its last event, within a bounded time.
    func end() async {
        hooks.end()
        let ending = Task { await runner.registry.endAll(because: Self.reason, within: Self.patience) }
        // A server of kernels may not answer.
        let closing = Task { for context in contexts.all(of: nil) { _ = await contexts.delete(context.id) } }
        await server.shutdown(grace: Self.grace)
        // Commands in the background get their time, too.
        await ending.value
        closing.cancel()
        exporting.cancel()
        await export.finish()
    }

    /// To standard error, which is the sandbox's log; or to a file, as JSON, which is for those who want to know more.
    private static func logger(_ options: Options, _ environment: [ExactName: String]) throws -> Logger {
        let path = environment[Setting.logFile.name] ?? ""
        let level = Self.level(options.logLevel ?? (path.isEmpty ? 4 : 6))
        guard !path.isEmpty else {
            var handler = TextLogHandler(label: "execd")
            handler.logLevel = level
            return Logger(label: "execd") { [handler] _ in handler }
        }
        let file = try LogFile(path)
        var handler = JSONLogHandler(label: "execd")
        handler.logLevel = level
        handler.write = { file.write($0) }
        if let id = environment["OPENSANDBOX_ID"] { handler[metadataKey: "sandbox_id"] = "\(id)" }
        return Logger(label: "execd") { [handler] _ in handler }
    }

    /// The reference's levels: 0 to 2 fatal, 3 errors, 4 warnings, 5 and 6 requests as well, 7 all.
    static func level(_ number: Int) -> Logger.Level {
        switch number {
        case ...2: .critical
        case 3: .error
        case 4: .warning
        case 5, 6: .info
        default: .debug
        }
    }
}
