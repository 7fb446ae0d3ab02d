import NIOHTTP1
import Synchronization
import System

/// The runs of a kernel, one at a time: what comes of each, how long it is waited for, and how it is interrupted.
extension JupyterKernel {
    /// How long a run may go on after an interrupt before its kernel is started anew.
    private static let patience = Duration.seconds(5)
    /// How long a kernel that is idle may take to answer, too.
    private static let replyPatience = Duration.seconds(2)
    /// How long the result of a run that is over may take to come.
    private static let resultPatience = Duration.milliseconds(50)
    /// How long nothing may come before the server is asked whether the kernel is there.
    private static let silence = Duration.seconds(30)

    func execute(_ code: String) async -> KernelRun {
        await state.withLock { $0.interrupt }?.value
        do {
            return begin(code, on: try await connected(), isSilent: false)
        } catch {
            let (events, continuation) = AsyncStream<KernelEvent>.makeStream()
            continuation.yield(.failed(.kernelDied("\(error)")))
            continuation.finish()
            return KernelRun(events: events) { _ in }
        }
    }

    func begin(_ code: String, on socket: KernelSocket, isSilent: Bool) -> KernelRun {
        let message = CommandRunner.identifier()
        let (events, continuation) = AsyncStream<KernelEvent>.makeStream()
        state.withLock { state in
            state.run = Run(exchange: JupyterExchange(id: message), events: continuation, socket: socket)
            // It may have been lost before the run was there to be told.
            if state.socket !== socket { fail(.kernelDied("the connection to the kernel was lost"), &state) }
        }
        socket.send(
            JupyterMessage.executeRequest(
                message, session: id, code: code, isSilent: isSilent, at: CommandRunner.now()))
        watch(message)
        // Nobody could interrupt it: it is our own, and not told to anybody.
        if isSilent { later(Self.restartPatience, message) { self.fail(.kernelDied("it does not answer"), &$0) } }
        return KernelRun(events: events) { socket.consumed($0.size) }
    }

    func receive(_ message: JupyterMessage, by connection: Int) {
        state.withLock { state in
            guard state.connection == connection, state.run != nil else { return }
            state.run!.messages += 1
            for outcome in state.run!.exchange.take(message) {
                switch outcome {
                case .event(let event):
                    switch event {
                    case .result, .failed: state.run!.hasShown = true
                    default: break
                    }
                    state.run!.socket.produced(event.size)
                    state.run!.events.yield(event)
                case .died:
                    return fail(.kernelDied("the kernel's process ended"), &state)
                case .asksForInput:
                    // One answer, however often it asks.
                    guard !state.run!.hasAskedForInput else { continue }
                    state.run!.hasAskedForInput = true
                    let event = KernelEvent.failed(
                        CodeFailure("EOFError", "the code waits for input: a code context has no terminal"))
                    state.run!.socket.produced(event.size)
                    state.run!.events.yield(event)
                    interrupt(&state)
                }
            }
            if state.run!.isToBeInterrupted, state.run!.exchange.hasBegun, let kernel = state.kernel {
                state.run!.isToBeInterrupted = false
                sendInterrupt(kernel, &state)
            }
            if state.run!.exchange.isOver {
                if state.run!.hasShown || !mayBeLate { finish(&state) } else { awaitResult(state.run!) }
            } else if state.run!.exchange.isIdle {
                awaitReply(state.run!)
            }
        }
    }

    private func finish(_ state: inout State) {
        state.run?.events.finish()
        state.run = nil
    }

    /// Ends the run, and the connection with it: the next one finds out how the kernel is.
    func fail(_ failure: CodeFailure, _ state: inout State) {
        state.run?.events.yield(.failed(failure))
        finish(&state)
        state.socket?.close()
        state.socket = nil
        state.connection += 1
    }

    func connectionEnded(_ connection: Int) {
        state.withLock { state in
            guard state.connection == connection else { return }
            fail(.kernelDied("the connection to the kernel was lost"), &state)
        }
    }

    /// Does something later, if the run is still there then.
    private func later(_ time: Duration, _ run: String, _ act: @escaping @Sendable (inout State) -> Void) {
        Task {
            try? await Task.sleep(for: time)
            state.withLock { state in if state.run?.exchange.id == run { act(&state) } }
        }
    }

    /// Deno sends what a cell results in from a task of its own, now and then a moment after it says that it is idle.
    private var mayBeLate: Bool { language == .javascript || language == .typescript }

    private func awaitResult(_ run: Run) { later(Self.resultPatience, run.exchange.id) { self.finish(&$0) } }

    private func awaitReply(_ run: Run) {
        later(Self.replyPatience, run.exchange.id) { state in
            // An interrupt between the kernel's taking the code and running it takes the reply along.
            if state.run?.wasInterrupted == true {
                state.run?.events.yield(.failed(CodeFailure("KeyboardInterrupt", "the run was interrupted")))
            }
            self.finish(&state)
        }
    }

    /// Asks the server for the kernel whenever nothing has come for long: a server may lose one without a word.
    private func watch(_ run: String) {
        Task {
            var seen = -1
            while true {
                try? await Task.sleep(for: Self.silence)
                let (messages, kernel) = state.withLock { state in
                    (state.run?.exchange.id == run ? state.run?.messages : nil, state.kernel)
                }
                guard let messages, let kernel else { return }
                defer { seen = messages }
                guard messages == seen else { continue }
                let answer = try? await client.call(.GET, "/api/kernels/\(kernel)")
                guard answer?.status != 200 else { continue }
                state.withLock { state in
                    guard state.run?.exchange.id == run else { return }
                    fail(.kernelDied("the Jupyter server has lost the kernel"), &state)
                }
                return
            }
        }
    }

    // MARK: Interrupts and the end

    func interrupt() { state.withLock { interrupt(&$0) } }

    private func interrupt(_ state: inout State) {
        guard let kernel = state.kernel, let exchange = state.run?.exchange else { return }
        let (client, run) = (client, exchange.id)
        state.run!.isToBeInterrupted = !exchange.hasBegun
        state.run!.wasInterrupted = true
        sendInterrupt(kernel, &state)
        // One that comes between the kernel's taking the code and running it is lost now and then.
        later(Self.patience / 2, run) { self.sendInterrupt(kernel, &$0) }
        later(Self.patience, run) { state in
            // The next run waits for it.
            state.interrupt = Task { _ = try? await client.call(.POST, "/api/kernels/\(kernel)/restart") }
            self.fail(.kernelDied("it ignored an interrupt, and the kernel was started again"), &state)
        }
    }

    private func sendInterrupt(_ kernel: String, _ state: inout State) {
        let (client, earlier) = (client, state.interrupt)
        state.interrupt = Task {
            await earlier?.value
            _ = try? await client.call(.POST, "/api/kernels/\(kernel)/interrupt")
        }
    }
}
