import CLinux
import HTTPServer
import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The first process of a sandbox. It starts the API and the entrypoint, forwards signals, reaps orphans, and ends with
/// the entrypoint's exit code. It serves nothing itself, so that no client can crash it.
struct SandboxInit {
    /// Seconds that other processes get to end by themselves after the entrypoint, and the entrypoint where another one is to
    /// take its place.
    private static let grace = 2
    /// An API that cannot serve, again and again, and so soon after its start, ends the sandbox: it must not go on half.
    private static let mostFailures = 10, soon: UInt64 = 5000

    private var options: Options
    private let executable: String
    private let signals: InitSignals
    private let report: EndReport
    private var environment: [ExactName: String]
    /// 0 before it has been started.
    private var entrypoint: pid_t = 0
    /// nil where the program starts at once.
    private let heldStart: HeldStart?
    private var server: pid_t = 0
    /// What builds isolated sessions; nil if there are none.
    private var builders: SessionBuilders?
    private var starter: pid_t?
    private var serverBegan: UInt64 = 0
    private var failures = 0
    /// The entrypoint has been told to end, and another one takes its place.
    private var isReplacing = false
    /// When it is killed, in monotonic milliseconds.
    private var replacement: UInt64?
    private var wasInitialised = false
    private var starterEnds = 0
    private static let mostStarters = 100
    private static let rootsHome = "/root"

    /// Returns the sandbox's exit code.
    static func run(_ options: Options, executable: String, environment: [ExactName: String]) -> Int32 {
        var options = options
        let outcome = options.isHeld ? HeldStart.pipe() : nil
        guard !options.isHeld || outcome != nil else {
            Bootstrap.complain("cannot make a pipe: \(String(cString: strerror(errno)))")
            return 125
        }
        if Truth(environment[Setting.gatedStart.name] ?? "") == .yes {
            let file = linux_scratch_file("execd-start")
            guard file >= 0 else {
                Bootstrap.complain("cannot make a file in memory: \(String(cString: strerror(-file)))")
                return 125
            }
            options.stateFile = file
            if options.isHeld { options.started = outcome?.reading }
        }
        if let address = options.address, options.listener == nil {
            do throws(ListenError) { options.listener = try OwnListener.bind(address, port: options.port) } catch {
                Bootstrap.complain("\(error)")
                return 125
            }
        }
        var sandbox = SandboxInit(options, executable, environment, heldStart: outcome)
        do throws(StartFailure) { try sandbox.start() } catch {
            if !error.reason.isEmpty { Bootstrap.complain(error.reason) }
            return sandbox.end(with: error.code)
        }
        return sandbox.end(with: sandbox.untilEnd())
    }

    private init(
        _ options: Options, _ executable: String, _ environment: [ExactName: String], heldStart: HeldStart?
    ) {
        self.options = options
        self.heldStart = heldStart
        self.executable = executable
        self.environment = environment
        report = EndReport(descriptor: options.report)
        // Needed only where this is not the first process of its namespace (tests).
        _ = linux_set_child_subreaper(1)
        signals = InitSignals()
    }

    private mutating func start() throws(StartFailure) {
        // Away from what the sandbox's limits hold: whatever its programs do to memory, processor and numbers, init and the
        // API go on.
        let failure = options.ownGroup.enter()
        guard failure == 0 else {
            throw StartFailure(code: 125, reason: "cannot enter a control group: \(String(cString: strerror(failure)))")
        }
        if options.isolation != nil { Self.shield() }
        builders = options.isolation.flatMap {
            SessionBuilders(folder: $0, executable: executable, group: options.commandGroup)
        }
        // From here on nothing is started that does not give up what builds sessions.
        Spawn.restrain(builders?.others)
        let step = StartStep(signals: signals)
        let bootstrap = Bootstrap(step: step, executable: ownPath, statusFile: options.statusFile)
        do throws(StartFailure) { environment = try bootstrap.run(environment) } catch {
            report.send(.ended(.exited(error.code)))
            throw error
        }
        // Start the entrypoint first. If it fails, the API never appears, so the sandbox is not taken to be running.
        if heldStart == nil { try startEntrypoint() }
        starter = builders?.start()
        do throws(SpawnError) { try startServer() } catch {
            signalEntrypoint(SIGKILL)
            throw StartFailure(code: 125, reason: "")
        }
        if heldStart != nil { Rehearsal.readTold() }
    }

    /// For a process that keeps what builds sessions. Children share its memory until they begin another program (vfork(2)), and have
    /// given up those rights by then: root in the sandbox could write to it through them. And Swift starts a program of the
    /// environment's choice when a signal says that it has crashed; without a handler the first process gets no such signal from inside.
    private static func shield() {
        _ = linux_set_dumpable(0)
        for number in [SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV] { signal(number, SIG_DFL) }
    }

    /// The path of this program, for others than this process.
    private var ownPath: String {
        guard let path = realpath("/proc/self/exe", nil) else { return executable }
        defer { free(path) }
        return String(cString: path)
    }

    private mutating func startEntrypoint() throws(StartFailure) {
        guard let arguments = Workload.arguments(options.entrypoint, environment) else {
            report.send(.notStarted(SpawnError(program: "sh", code: ENOENT)))
            throw StartFailure(code: 127, reason: "the image has no shell")
        }
        var given = environment
        for name in Setting.keptFromEntrypoint { given[name] = nil }
        var program = ProcessSpec(
            arguments: arguments, environment: given, rank: .entrypoint, joins: options.commandGroup.descriptors)
        if let text = options.programUser {
            guard let user = ProgramUser.current(text) else {
                report.send(.notStarted(SpawnError(program: arguments[0], code: EINVAL)))
                throw StartFailure(code: 126, reason: "the image has no user \(text.prefix(80))")
            }
            user.takeOutput()
            (program.user, program.group) = (user.user, user.group)
            // That of root, which the runtime sets where the image sets none.
            if user.user != 0, given["HOME"] == Self.rootsHome { program.environment["HOME"] = user.home ?? "/" }
        }
        do throws(SpawnError) { entrypoint = try Self.start(program) } catch {
            report.send(.notStarted(error))
            throw StartFailure(code: 127, reason: "")
        }
    }

    private mutating func startServer() throws(SpawnError) {
        let passed =
            options.commandGroup.descriptors + (options.stateFile.map { [$0] } ?? [])
            + (options.started.map { [$0] } ?? []) + (options.listener.map { [$0] } ?? [])
            + (builders.map { [$0.asking] } ?? [])
        let words = [executable] + options.serving + (builders == nil ? [] : ["--builder", String(2 + passed.count)])
        server = try Self.start(ProcessSpec(arguments: words, environment: environment, rank: .server), passed)
        serverBegan = SystemClock.monotonicMilliseconds()
    }

    /// Runs the sandbox until its program has ended.
    private mutating func untilEnd() -> Int32 {
        while true {
            let rest = replacement.map { max(1, Int($0) - Int(SystemClock.monotonicMilliseconds())) }
            switch signals.next(within: rest) {
            case nil:
                // It was told to end, and has not.
                signalEntrypoint(SIGKILL)
                replacement = nil
            case SIGCHLD?:
                while let (process, status) = signals.reap() {
                    if let code = take(process, status) { return code }
                }
            case InitSignals.initialised?:
                if let code = initialise() { return code }
            case let number?:
                // Whoever ends the sandbox wants no other program in it.
                let ends = [SIGTERM, SIGINT, SIGQUIT].contains(number)
                if ends { isReplacing = false }
                guard entrypoint != 0 || !ends else { return 128 + number }
                signalEntrypoint(number)
            }
        }
    }

    /// - Returns: the sandbox's exit code, if this was its end.
    private mutating func take(_ process: pid_t, _ status: ProcessExit) -> Int32? {
        switch process {
        case entrypoint where isReplacing:
            isReplacing = false
            replacement = nil
            do throws(StartFailure) { try startEntrypoint() } catch { return error.code }
            return nil
        case entrypoint:
            report.send(.ended(status))
            return status.code
        case server:
            // Clients see a broken connection, and their next one works.
            if case .exited(let code) = status, code != 0 {
                let isSoon = SystemClock.monotonicMilliseconds() - serverBegan < Self.soon
                failures = isSoon ? failures + 1 : 1
                usleep(100_000)
            }
            while failures < Self.mostFailures {
                if (try? startServer()) != nil { return nil }
                failures += 1
                usleep(100_000)
            }
            Bootstrap.complain("the API cannot be started: the sandbox ends")
            signalEntrypoint(SIGKILL)
            report.send(.ended(.exited(125)))
            return 125
        case let other where other == starter:
            // A program in the sandbox may have ended its socket for good.
            starterEnds += 1
            usleep(100_000)
            starter = starterEnds < Self.mostStarters ? builders?.start() : nil
            if starter == nil { Bootstrap.complain("no isolated sessions are made any more") }
            return nil
        default: return nil
        }
    }

    /// The gated start has been told: a held program begins, another one may have to begin anew with what came.
    /// - Returns: the sandbox's exit code, where a held program could not be started.
    private mutating func initialise() -> Int32? {
        guard !wasInitialised, let file = options.stateFile, let told = GatedStart.read(file) else { return nil }
        wasInitialised = true
        environment.merge(told.variables) { _, new in new }
        if let program = told.entrypoint { options.entrypoint = program }
        if let heldStart {
            do throws(StartFailure) { try startEntrypoint() } catch {
                heldStart.tell(isRunning: false)
                return error.code
            }
            heldStart.tell(isRunning: true)
            return nil
        }
        guard told.entrypointPolicy == .restart else { return nil }
        isReplacing = true
        replacement = SystemClock.monotonicMilliseconds() + UInt64(Self.grace) * 1000
        signalEntrypoint(SIGTERM)
        return nil
    }

    /// Its whole group. Nothing before there is one: 0 would be init's own group.
    private func signalEntrypoint(_ number: CInt) { if entrypoint > 0 { kill(-entrypoint, number) } }

    private static func start(_ spec: ProcessSpec, _ passed: [CInt] = []) throws(SpawnError) -> pid_t {
        do throws(SpawnError) {
            return try Spawn.start(spec, input: -1, output: STDOUT_FILENO, error: STDERR_FILENO, passed: passed)
        } catch {
            Bootstrap.complain("cannot start \(error)")
            throw error
        }
    }

    /// Signal all processes only as the first one of its namespace; elsewhere that would be the whole machine, and the API is
    /// all that is told.
    private func end(with code: Int32) -> Int32 {
        let everybody: pid_t = getpid() == 1 ? -1 : server
        guard everybody != 0 else { return code }
        kill(everybody, SIGTERM)
        for _ in 0..<Self.grace * 100 {
            usleep(10_000)
            while signals.reap() != nil {}
            if kill(everybody, 0) != 0 { break }
        }
        kill(everybody, SIGKILL)
        return code
    }
}
