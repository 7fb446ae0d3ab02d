import Spelling
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// A kernel that is a process of this execd: a driver that keeps the language's state. When it ends, the run fails, and the
/// next one starts another in the context's folder.
final class ProcessKernel: CodeKernel {
    private struct Driver {
        let number: UInt64
        let channel: ControlChannel
        /// nil while it is being started.
        var process: RunningProcess?
        /// The variables that it got from the environment file.
        var variables: [ExactName: String] = [:]
        var lines = ControlLines(maxLine: DriverMessage.maxLine)
        var isReady = false
    }

    private struct Run {
        let number: UInt64
        let code: String
        let record: CommandRecord
        let events: AsyncStream<KernelEvent>.Continuation
        var isInterrupted = false
    }

    private struct State {
        var driver: Driver?
        var run: Run?
        var runs: UInt64 = 0
        var drivers: UInt64 = 0
        var isClosed = false
    }

    /// A run that goes on after an interrupt is interrupted again after each pause, and after the last its process is
    /// killed.
    private static let attempts = 5
    private static let pause = Duration.seconds(1)

    private let dialogue: any DriverDialogue
    private let folder: String?
    private let runner: CommandRunner
    private let state = Mutex(State())

    /// - Parameter folder: nil for execd's folder.
    init(_ dialogue: any DriverDialogue, folder: String?, runner: CommandRunner) {
        self.dialogue = dialogue
        self.folder = folder
        self.runner = runner
    }

    /// Starts the process before it is needed; to be called on a thread of `SpawnThreads`.
    func prepare() throws(SpawnError) { try startDriver() }

    func execute(_ code: String) async -> KernelRun {
        let record = runner.record(of: code)
        let (events, continuation) = AsyncStream<KernelEvent>.makeStream()
        let run = KernelRun(events: events) { record.consumed($0.size) }
        // A driver that does not start has failed the run already.
        _ = try? await SpawnThreads.run { try self.begin(code, record, continuation) }
        return run
    }

    private func begin(
        _ code: String, _ record: CommandRecord, _ events: AsyncStream<KernelEvent>.Continuation
    ) throws(SpawnError) {
        runner.registry.add(record)
        state.withLock { state in
            state.runs += 1
            state.run = Run(number: state.runs, code: code, record: record, events: events)
            guard !state.isClosed else { return fail(Self.deleted, &state) }
            if let process = state.driver?.process { record.began(process) }
            if state.driver?.isReady == true { send(&state) }
        }
        try startDriver()
    }

    private static let deleted = "the context was deleted"

    /// Starts a driver unless there is one; it takes the present run as soon as it is ready. Not under the lock: starting a
    /// process takes milliseconds, and those who interrupt must not wait for it, since one of them serves all clients.
    private func startDriver() throws(SpawnError) {
        guard state.withLock({ $0.driver == nil && !$0.isClosed }) else { return }
        var entered: UInt64?
        do throws(SpawnError) {
            let (channel, variables) = (try ControlChannel(), runner.environment.fileVariables())
            let number = state.withLock { state -> UInt64? in
                guard state.driver == nil, !state.isClosed else { return nil }
                state.drivers += 1
                state.driver = Driver(number: state.drivers, channel: channel, variables: variables)
                return state.drivers
            }
            guard let number else { return }
            entered = number
            try start(number, channel)
        } catch {
            state.withLock { state in
                // Another caller's may be on its way.
                if let entered, state.driver?.number == entered { state.driver = nil }
                fail("\(error)", &state)
            }
            throw error
        }
    }

    private func start(_ number: UInt64, _ channel: ControlChannel) throws(SpawnError) {
        let process = try start(channel)
        state.withLock { state in
            // It may have ended already.
            guard state.driver?.number == number else { return }
            state.driver?.process = process
            state.run?.record.began(process)
            if state.isClosed { kill(&state) }
            // It may have said so before it was known here.
            if state.driver?.isReady == true { send(&state) }
        }
    }

    private func start(_ channel: ControlChannel) throws(SpawnError) -> RunningProcess {
        // Elsewhere code would do to other files what was meant for these.
        if let folder, !FileStatus.isFolder(folder) { throw SpawnError(program: folder, code: ENOENT) }
        let environment = runner.environment.current(with: dialogue.variables)
        var failure: SpawnError?
        for command in dialogue.commands {
            let spec = ProcessSpec(
                arguments: command, environment: environment, directory: folder,
                joins: runner.environment.group.descriptors)
            do throws(SpawnError) {
                let process = try ProcessLoop.shared.start(spec, .control(channel, pauses: true)) {
                    self.receive($0)
                }
                if !dialogue.greeting.isEmpty { process.write(Array(dialogue.greeting.utf8)) }
                return process
            } catch {
                failure = failure ?? error
            }
        }
        throw failure ?? SpawnError(program: "driver", code: ENOENT)
    }

    /// Sends the present run to a driver that is ready and known: whichever comes last.
    private func send(_ state: inout State) {
        guard let run = state.run, let process = state.driver?.process else { return }
        guard !run.isInterrupted else {
            run.events.yield(.failed(.interrupted))
            return finish(.exited(130), &state)
        }
        let variables = runner.environment.fileVariables()
        let changed = variables.filter { state.driver!.variables[$0.key] != $0.value }
        state.driver!.variables = variables
        process.write(Array(dialogue.begin(run.number, run.code, variables: changed).utf8))
    }

    /// Called on the loop's thread. A new driver starts only after the end of the old one.
    private func receive(_ event: ProcessEvent) {
        state.withLock { state in
            switch event {
            case .output(.control, let bytes):
                let lines = state.driver?.lines.append(bytes) ?? []
                if state.driver?.lines.isBroken == true { state.driver?.process?.signalGroup(SIGKILL) }
                for message in lines.flatMap({ dialogue.message($0) }) { obey(message, &state) }
            case .output(let stream, let bytes):
                // Between runs it comes from what runs left in the background, and nobody reads it.
                if state.driver?.isReady == true { yield(.output(stream, bytes), &state) }
            case .took, .refusedInput: break
            case .ended(let status):
                state.driver?.channel.end()
                state.driver = nil
                end(with: status, &state)
            }
        }
    }

    private func obey(_ message: DriverMessage, _ state: inout State) {
        switch message {
        case .ready:
            guard state.driver?.isReady == false else { return }
            state.driver?.isReady = true
            send(&state)
        case .event(let run, let event) where run == state.run?.number: yield(event, &state)
        case .ended(let run) where run == state.run?.number: finish(.exited(0), &state)
        default: break
        }
    }

    private func yield(_ event: KernelEvent, _ state: inout State) {
        guard let run = state.run else { return }
        run.record.produced(event.size)
        run.events.yield(event)
    }

    private func end(with status: ProcessExit, _ state: inout State) {
        guard let run = state.run else { return }
        run.record.ended(status, failure: nil, at: CommandRunner.now())
        let ended = run.record.current
        run.events.yield(
            .failed(.kernelDied(ended.failure ?? ended.explanation ?? "its process ended with code \(status.code)")))
        finish(status, &state)
    }

    /// The present run has no process to run it.
    private func fail(_ reason: String, _ state: inout State) {
        guard let run = state.run else { return }
        state.run = nil
        run.record.ended(nil, failure: reason, at: CommandRunner.now())
        run.events.yield(.failed(.kernelDied(reason)))
        run.events.finish()
    }

    private func finish(_ status: ProcessExit, _ state: inout State) {
        guard let run = state.run else { return }
        state.run = nil
        if run.record.current.finishedAt == nil {
            run.record.ended(status, failure: nil, at: CommandRunner.now())
        }
        run.events.finish()
        // Reading may have been paused for this run's client; resume it for the next.
        state.driver?.process?.resumeOutput()
    }

    func interrupt() {
        let number = state.withLock { state -> UInt64? in
            state.run?.isInterrupted = true
            // One that is still starting learns of it when it is ready.
            if state.driver?.isReady == true { state.run?.record.signal(SIGINT) }
            return state.run?.number
        }
        guard let number else { return }
        Task {
            for attempt in 1...Self.attempts {
                try? await Task.sleep(for: Self.pause)
                state.withLock { state in
                    guard state.run?.number == number else { return }
                    // While a program waits for a child (system(3)), the signal is the child's alone.
                    guard attempt == Self.attempts else { return _ = state.run?.record.signal(SIGINT) }
                    state.run?.record.signal(SIGKILL, because: "it ignored an interrupt, and was ended")
                }
            }
        }
    }

    func close() async {
        state.withLock { state in
            state.isClosed = true
            kill(&state)
        }
    }

    private func kill(_ state: inout State) {
        guard state.run?.record.signal(SIGKILL, because: Self.deleted) != true else { return }
        state.driver?.process?.signalGroup(SIGKILL)
    }
}
