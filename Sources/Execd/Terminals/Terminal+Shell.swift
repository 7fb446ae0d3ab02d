import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Starts and ends a terminal's shells, and passes on what its clients say.
extension Terminal {
    private enum Launch {
        case begins(Int)
        case waits, isNotNeeded
    }

    /// Starts a shell for a client, unless there is one. It returns when there is.
    func launch(for client: ClientID, _ mode: TerminalMode) async throws(SpawnError) {
        let launch: Launch = change { state in
            if state.terminal.phase == .starting { return .waits }
            return state.terminal.launch(for: client, mode).map { .begins($0) } ?? .isNotNeeded
        }
        let failure: SpawnError?
        switch launch {
        case .isNotNeeded: failure = nil
        case .begins(let number):
            failure = (try? await SpawnThreads.run { self.start(number, mode) }) ?? nil
        case .waits:
            failure = await withCheckedContinuation { continuation in
                let isOver = change { state in
                    guard state.terminal.phase == .starting else { return true }
                    state.launching.append(continuation)
                    return false
                }
                if isOver { continuation.resume(returning: nil) }
            }
        }
        if let failure { throw failure }
    }

    private func start(_ number: Int, _ mode: TerminalMode) -> SpawnError? {
        let record = runner.record(of: "terminal \(id)")
        runner.registry.add(record)
        var failure: SpawnError?
        do throws(SpawnError) {
            let connection: Connection =
                mode == .pty ? .terminal(request.size, owner: request.uid) : .pipes
            let process = try ProcessLoop.shared.start(spec(mode), connection) { [self] in receive($0, record) }
            record.began(process)
            let isTooLate = change { state in
                guard state.terminal.launched(number) else { return false }
                state.process = process
                return state.terminal.isDeleted
            }
            if isTooLate { record.signal(SIGKILL) }
        } catch {
            record.ended(nil, failure: error.description, at: CommandRunner.now())
            failure = error
            change { $0.terminal.failedToLaunch() }
        }
        let waiting = change { state in
            defer { state.launching = [] }
            return state.launching
        }
        for continuation in waiting { continuation.resume(returning: failure) }
        return failure
    }

    /// A variable of everything that is started in a terminal, by which it is found when the terminal is deleted.
    static let marker = "SALLYPORT_TERMINAL"

    private func spec(_ mode: TerminalMode) -> ProcessSpec {
        let shell = runner.environment.shell
        var environment = runner.environment.current(with: request.envs)
        if mode == .pty, environment["TERM"] == nil { environment["TERM"] = "xterm-256color" }
        environment[ExactName(Self.marker)] = id
        return ProcessSpec(
            arguments: [shell] + (shell.hasSuffix("/bash") ? ["--norc", "--noprofile"] : [])
                + (request.command.map { ["-c", $0] } ?? []),
            environment: environment, directory: folder, user: request.uid, group: request.gid ?? request.uid,
            joins: runner.environment.group.descriptors, controlsTerminal: mode == .pty)
    }

    // MARK: What clients say

    /// - Returns: whether the client should wait with more (`inputSettles`).
    func take(_ message: TerminalMessage, from client: ClientID) -> Bool {
        change { state in
            switch message {
            case .nothing: return false
            case .ping:
                state.terminal.tell(client, .pong)
                return false
            case .unknown(let type):
                state.terminal.tell(client, .error("INVALID_FRAME", "\"\(type)\" is not a type of message"))
                return false
            case .input, .signal, .resize: break
            }
            guard state.terminal.mayType(client), let process = state.process else { return false }
            switch message {
            case .input(let bytes):
                guard state.input.add(bytes.count) else {
                    state.terminal.failInput("\(InputFlow.maxWaiting) bytes wait that the shell does not read")
                    return false
                }
                process.write(bytes)
            case .signal(let number): process.signalForeground(number)
            case .resize(let size): process.resize(size)
            case .nothing, .ping, .unknown: break
            }
            return state.input.hasToWait
        }
    }

    /// Returns when there is room for more input, or when the shell reads nothing.
    func inputSettles() async {
        let taken = look { $0.input.taken }
        let end = await waiters.wait(atMost: InputFlow.patience) { look { !$0.input.hasToWait } }
        guard end == .timeOver else { return }
        change { $0.input.patienceEnds(since: taken) }
        waiters.wake()
    }

    // MARK: Its end

    /// How long the end of a killed shell is waited for.
    private static let patience = Duration.seconds(5)

    /// Ends the shell and all that it has started. Later clients are refused; those that are connected learn of the end.
    func delete() async {
        let shell = change { state in
            state.terminal.delete()
            state.process?.signalGroup(SIGKILL)
            return state.process?.pid
        }
        let mark = "\(Self.marker)=\(id)"
        await StartedProcesses.threads.run { StartedProcesses(first: shell, mark: mark).end() }
        _ = await waiters.wait(atMost: Self.patience) { look { $0.process == nil } }
    }
}
