import Spelling
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// A shell that persists between runs, with folder, variables and functions. When it ends, by `exit` or a signal, the
/// next run gets a new one in the folder where the last completed run was.
final class ShellSession: Sendable {
    enum UnavailableError: Error, Hashable, Sendable {
        case busy, deleted
        /// A shell would have to begin in a folder that is gone.
        case gone(folder: String)
    }

    private struct Shell {
        let process: RunningProcess
        let channel: ControlChannel
        /// The variables that it got from the environment file.
        var variables: [ExactName: String]
        var answers = ControlLines(maxLine: ShellDialogue.maxAnswer)
    }

    private struct Run {
        let number: UInt64
        let record: CommandRecord
        let deliver: ProcessLoop.Delivery
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

    /// - Parameter folder: where it starts; nil for execd's folder.
    init(id: String, folder: String?, environment: CommandEnvironment) {
        self.id = id
        self.environment = environment
        state = Mutex(State(folder: folder))
    }

    /// The base of relative folders; nil for execd's folder.
    var folder: String? { state.withLock { $0.folder } }

    /// Runs a command in the shell. Its output and end are passed to `deliver` on the loop's thread.
    /// - Returns: whether it has begun. If the shell does not start, the record has the failure.
    func run(
        _ request: SessionRunRequest, _ record: CommandRecord, deliver: @escaping ProcessLoop.Delivery
    ) throws(UnavailableError) -> Bool {
        try state.withLock { (state) throws(UnavailableError) in
            guard !state.isDeleted else { throw .deleted }
            guard state.run == nil else { throw .busy }
            // Elsewhere a command would do to other files what was meant for these.
            if state.shell == nil, request.cwd == nil, let folder = state.folder, !FileStatus.isFolder(folder) {
                throw .gone(folder: folder)
            }
            let variables = environment.fileVariables()
            do throws(SpawnError) {
                if state.shell == nil { state.shell = try start(in: state.folder, variables) }
            } catch {
                record.ended(nil, failure: error.description, at: CommandRunner.now())
                return false
            }
            state.runs += 1
            state.run = Run(number: state.runs, record: record, deliver: deliver)
            let process = state.shell!.process
            record.began(process)
            var changed = variables.filter { state.shell!.variables[$0.key] != $0.value }
            changed[CommandRecord.marker] = record.id
            state.shell!.variables = variables
            let line = ShellDialogue.line(
                run: state.runs, request.command, folder: request.cwd, variables: changed)
            process.write(Array(line.utf8))
            return true
        }
    }

    /// Kills the running command; later runs are refused.
    func delete() {
        state.withLock { state in
            state.isDeleted = true
            if let run = state.run {
                run.record.kill(because: "the session was deleted")
            } else {
                state.shell?.process.signalGroup(SIGKILL)
            }
        }
    }

    private func start(in folder: String?, _ variables: [ExactName: String]) throws(SpawnError) -> Shell {
        let isBash = environment.shell.hasSuffix("/bash")
        let spec = ProcessSpec(
            // With a socket as its input bash would take itself for a remote shell and read ~/.bashrc.
            arguments: [environment.shell] + (isBash ? ["--norc", "--noprofile"] : []),
            environment: environment.current(), directory: folder.flatMap { FileStatus.isFolder($0) ? $0 : nil },
            joins: environment.group.descriptors)
        let channel = try ControlChannel()
        let process = try ProcessLoop.shared.start(spec, .control(channel)) { self.receive($0) }
        return Shell(process: process, channel: channel, variables: variables)
    }

    /// Called on the loop's thread. A new shell starts only after the end of the old one.
    private func receive(_ event: ProcessEvent) {
        state.withLock { state in
            switch event {
            case .output(.control, let bytes):
                for line in state.shell?.answers.append(bytes) ?? [] {
                    guard let answer = ShellDialogue.answer(line), answer.run == state.run?.number else { continue }
                    state.folder = state.shell!.process.currentFolder ?? state.folder
                    finish(.exited(answer.code), &state)
                }
                // What a program has written there is passed over.
                if state.shell?.answers.isBroken == true {
                    state.shell?.answers = ControlLines(maxLine: ShellDialogue.maxAnswer)
                }
            case .output:
                // Output between runs comes from background processes, and nobody reads it.
                state.run?.deliver(event)
            case .took, .refusedInput: break
            case .ended(let status):
                state.shell?.channel.end()
                finish(status, &state)
                state.shell = nil
            }
        }
    }

    private func finish(_ status: ProcessExit, _ state: inout State) {
        guard let run = state.run else { return }
        state.run = nil
        run.record.ended(status, failure: nil, at: CommandRunner.now())
        run.deliver(.ended(status))
        // Reading may have been paused for this run's client; resume it for the next.
        state.shell?.process.resumeOutput()
    }
}
