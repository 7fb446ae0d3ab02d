import NIOPosix
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// A shell that stays between runs: folder, variables and functions are as the last run left them. When it ends, by
/// `exit` or a signal, the next run gets a fresh one in the folder where the last run that came to its end was.
final class ShellSession: Sendable {
    enum Unavailable: Error, Hashable, Sendable {
        case busy, deleted
    }

    private struct Shell {
        let process: RunningProcess
        let channel: ControlChannel
        /// What it has of the file of variables.
        var variables: [String: String]
        var answers: [UInt8] = []
    }

    private struct Run {
        let number: UInt64
        let record: CommandRecord
        let events: AsyncStream<ProcessEvent>.Continuation
    }

    private struct State {
        var folder: String?
        var shell: Shell?
        var run: Run?
        var runs: UInt64 = 0
        var isDeleted = false
    }

    let id: String
    private let environment: CommandEnvironment
    private let state: Mutex<State>

    /// - Parameter folder: where it starts; nil is execd's folder.
    init(id: String, folder: String?, environment: CommandEnvironment) {
        self.id = id
        self.environment = environment
        state = Mutex(State(folder: folder))
    }

    /// Where a relative folder starts from; nil is execd's folder.
    var folder: String? { state.withLock { $0.folder } }

    /// Runs a command in the shell.
    /// - Returns: its events up to the last. A shell that does not start is the record's failure.
    func run(
        _ request: SessionRunRequest, _ record: CommandRecord
    ) throws(Unavailable) -> AsyncStream<ProcessEvent> {
        let (events, continuation) = AsyncStream<ProcessEvent>.makeStream()
        try state.withLock { (state) throws(Unavailable) in
            guard !state.isDeleted else { throw .deleted }
            guard state.run == nil else { throw .busy }
            let variables = environment.fileVariables()
            do throws(SpawnError) {
                if state.shell == nil { state.shell = try start(in: state.folder, variables) }
            } catch {
                record.ended(nil, failure: error.description, at: CommandRunner.now())
                return continuation.finish()
            }
            state.runs += 1
            state.run = Run(number: state.runs, record: record, events: continuation)
            let channel = state.shell!.channel
            record.began(state.shell!.process)
            let changed = variables.filter { state.shell!.variables[$0.key] != $0.value }
            state.shell!.variables = variables
            let line = ShellDialogue.line(
                run: state.runs, request.command, folder: request.cwd, variables: changed)
            // A long command waits until the shell has read most of it.
            NIOThreadPool.singleton.submit { _ in channel.send(line) }
        }
        return events
    }

    /// Kills what runs; later runs are refused.
    func delete() {
        state.withLock { state in
            state.isDeleted = true
            if let run = state.run {
                run.record.signal(SIGKILL, because: "the session was deleted")
            } else {
                state.shell?.process.signalGroup(SIGKILL)
            }
        }
    }

    private func start(in folder: String?, _ variables: [String: String]) throws(SpawnError) -> Shell {
        let isBash = environment.shell.hasSuffix("/bash")
        let spec = ProcessSpec(
            // On a socket bash would take itself for a remote shell and read ~/.bashrc.
            arguments: [environment.shell] + (isBash ? ["--norc", "--noprofile"] : []),
            environment: environment.current(), directory: folder.flatMap { FileStatus.isFolder($0) ? $0 : nil },
            joins: environment.group.descriptors)
        let channel = try ControlChannel()
        let process = try ProcessLoop.shared.start(spec, control: channel) { self.receive($0) }
        return Shell(process: process, channel: channel, variables: variables)
    }

    /// On the loop's thread; a shell's successor starts only when its end has come.
    private func receive(_ event: ProcessEvent) {
        state.withLock { state in
            switch event {
            case .output(.control, let bytes):
                state.shell?.answers += bytes
                while let end = state.shell?.answers.firstIndex(of: UInt8(ascii: "\n")) {
                    let answer = ShellDialogue.answer(state.shell!.answers[..<end])
                    state.shell!.answers.removeFirst(end + 1)
                    guard let answer, answer.run == state.run?.number else { continue }
                    state.folder = state.shell!.process.currentFolder ?? state.folder
                    finish(.exited(answer.code), &state)
                }
            case .output(_, let bytes):
                // Between runs it is from what was left in the background, and nobody is there to read it.
                state.run?.record.produced(bytes.count)
                state.run?.events.yield(event)
            case .ended(let status):
                state.shell?.channel.end()
                finish(status, &state)
                state.shell = nil
            }
        }
    }

    private func finish(_ status: ExitStatus, _ state: inout State) {
        guard let run = state.run else { return }
        state.run = nil
        run.record.ended(status, failure: nil, at: CommandRunner.now())
        run.events.yield(.ended(status))
        run.events.finish()
        // The reader of this run may have been behind; the next one is not.
        state.shell?.process.resumeOutput()
    }
}
