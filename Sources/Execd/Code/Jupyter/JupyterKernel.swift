import FoundationEssentials
import JSON
import NIOHTTP1
import Synchronization
import System

/// A kernel of a Jupyter server. It outlives its connection: one that is lost is made anew for the next run, and so is a
/// kernel that its server no longer knows.
final class JupyterKernel: CodeKernel {
    private struct Run {
        var exchange: JupyterExchange
        let events: AsyncStream<KernelEvent>.Continuation
        let socket: KernelSocket
        /// Messages so far: one that waits sees whether anything has come meanwhile.
        var messages = 0
        var hasAskedForInput = false
        /// Whether an interrupt has been sent that the kernel may have had too early to heed it.
        var isToBeInterrupted = false
        var wasInterrupted = false
        /// Whether there was a result or an error.
        var hasShown = false
    }

    private struct State {
        var session: String?
        var kernel: String?
        var socket: KernelSocket?
        /// The number of the connection that counts: an earlier one may still bring its end.
        var connection = 0
        var run: Run?
        /// The interrupt that is on its way; it must not hit the next run.
        var interrupt: Task<Void, Never>?
        var isClosed = false
    }

    /// How long a run may go on after an interrupt before its kernel is started anew.
    private static let patience = Duration.seconds(5)
    /// How long a kernel that has ended may take to be back.
    private static let restartPatience = Duration.seconds(30)
    /// How long a kernel that is idle may take to answer, too.
    private static let replyPatience = Duration.seconds(2)
    /// How long the result of a run that is over may take to come.
    private static let resultPatience = Duration.milliseconds(50)
    /// How long nothing may come before the server is asked whether the kernel is there.
    private static let silence = Duration.seconds(30)

    private let id: String
    private let language: KernelLanguage
    private let folder: String?
    private let client: JupyterClient
    private let state = Mutex(State())

    /// - Parameter id: what the session is called in Jupyter.
    init(id: String, language: KernelLanguage, folder: String?, client: JupyterClient) {
        self.id = id
        self.language = language
        self.folder = folder
        self.client = client
    }

    /// Starts the kernel.
    /// - Parameter budget: how long the server may take to come up, and to know a kernel for the language.
    func prepare(within budget: Duration) async throws {
        let end = ContinuousClock.now + budget
        var pause = BackOff(first: 200, longest: 2000)
        while true {
            do {
                try await start()
                return
            } catch let error as JupyterClient.CallError {
                let time = Duration.milliseconds(Int64(pause.next()))
                guard error.isPassing, .now + time < end else { throw error }
                try await Task.sleep(for: time)
            }
        }
    }

    private func start() async throws {
        let specs = try await client.demand(.GET, "/api/kernelspecs")
        guard let spec = KernelSpecs.name(for: language, in: specs) else {
            // Images install kernels while the server runs already.
            throw JupyterClient.CallError(description: "the Jupyter server has no kernel for \(language.rawValue)")
        }
        let made = try await client.demand(
            .POST, "/api/sessions",
            [
                "path": .string("\(id).ipynb"), "name": .string(id), "type": .string("notebook"),
                "kernel": .object(["name": .string(spec)]),
            ])
        guard case .string(let session)? = made["id"], case .string(let kernel)? = made["kernel"]?["id"],
            Self.isIdentifier(session), Self.isIdentifier(kernel)
        else {
            throw JupyterClient.CallError(
                description: "the Jupyter server made a session without an id", isPassing: false)
        }
        do {
            let isClosed = state.withLock { state in
                if !state.isClosed { (state.session, state.kernel) = (session, kernel) }
                return state.isClosed
            }
            // Deleted while the server made it: whoever deleted the context has found no session.
            guard !isClosed else { throw Self.deleted }
            try await connect()
        } catch {
            state.withLock { ($0.session, $0.kernel) = (nil, nil) }
            _ = try? await client.call(.DELETE, "/api/sessions/\(session)")
            throw error
        }
    }

    private static let deleted = JupyterClient.CallError(description: "the context was deleted", isPassing: false)

    /// Ids become parts of paths.
    private static func isIdentifier(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 128
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"): true
                default: false
                }
            }
    }

    private func connect() async throws {
        guard let kernel = state.withLock({ $0.kernel }) else { return }
        let number = state.withLock { state in
            state.connection += 1
            return state.connection
        }
        let socket = try await KernelSocket.connect(
            client, "/api/kernels/\(kernel)/channels?session_id=\(id)", receive: { self.receive($0, by: number) },
            closed: { self.connectionEnded(number) })
        let isCurrent = state.withLock { state in
            if state.connection == number { state.socket = socket }
            return state.connection == number
        }
        guard isCurrent else {
            socket.close()
            throw JupyterClient.CallError(description: "the connection to the kernel ended as it was made")
        }
        guard let folder, let code = Self.change(to: folder, in: language) else { return }
        for await event in begin(code, on: socket, isSilent: true).events {
            guard case .failed(let failure) = event else { continue }
            throw JupyterClient.CallError(
                description: "cwd: the kernel cannot go to \(folder): \(failure.value)", isPassing: false)
        }
    }

    /// Code that changes to a folder, since a server may start kernels in folders below its own only.
    static func change(to folder: String, in language: KernelLanguage) -> String? {
        let quoted = JSONText.quoted(folder)
        return switch language {
        case .python: "__import__('os').chdir(\(quoted))"
        case .bash: "cd -- \(ShellDialogue.quoted(folder))"
        case .javascript: "process.chdir(\(quoted))"
        case .typescript: "(globalThis as any).process.chdir(\(quoted))"
        case .java, .go: nil
        }
    }

    // MARK: Runs

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

    /// The connection, made anew where it is lost; and the kernel, where its server has lost it.
    private func connected() async throws -> KernelSocket {
        let (socket, kernel, isClosed) = state.withLock { ($0.socket, $0.kernel, $0.isClosed) }
        guard !isClosed else { throw Self.deleted }
        if let socket { return socket }
        if let kernel, try await isBack(kernel) { try await connect() } else { try await start() }
        guard let socket = state.withLock({ $0.socket }) else {
            throw JupyterClient.CallError(description: "the connection to the kernel ended as it was made")
        }
        return socket
    }

    /// Waits until the server has started the kernel again, or says that it does not know it.
    private func isBack(_ kernel: String) async throws -> Bool {
        let end = ContinuousClock.now + Self.restartPatience
        while true {
            let answer = try await client.call(.GET, "/api/kernels/\(kernel)")
            guard answer.status == 200 else { return false }
            if case .string(let state)? = answer.json?["execution_state"], state != "restarting", state != "dead" {
                return true
            }
            guard .now < end else { return false }
            try await Task.sleep(for: .milliseconds(200))
        }
    }

    private func begin(_ code: String, on socket: KernelSocket, isSilent: Bool) -> KernelRun {
        let message = CommandRunner.identifier()
        let (events, continuation) = AsyncStream<KernelEvent>.makeStream()
        state.withLock { state in
            state.run = Run(exchange: JupyterExchange(id: message), events: continuation, socket: socket)
            // It may have been lost before the run was there to be told.
            if state.socket !== socket { fail(.kernelDied("the connection to the kernel was lost"), &state) }
        }
        socket.send(JupyterMessage.executeRequest(message, session: id, code: code, isSilent: isSilent, at: Date()))
        watch(message)
        // Nobody could interrupt it: it is our own, and not told to anybody.
        if isSilent { later(Self.restartPatience, message) { self.fail(.kernelDied("it does not answer"), &$0) } }
        return KernelRun(events: events) { socket.consumed($0.size) }
    }

    private func receive(_ message: JupyterMessage, by connection: Int) {
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
    private func fail(_ failure: CodeFailure, _ state: inout State) {
        state.run?.events.yield(.failed(failure))
        finish(&state)
        state.socket?.close()
        state.socket = nil
        state.connection += 1
    }

    private func connectionEnded(_ connection: Int) {
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
        later(Self.patience, run) { state in
            // The next run waits for it.
            state.interrupt = Task { _ = try? await client.call(.POST, "/api/kernels/\(kernel)/restart") }
            self.fail(.kernelDied("it did not heed an interrupt, and the kernel was started anew"), &state)
        }
    }

    private func sendInterrupt(_ kernel: String, _ state: inout State) {
        let (client, earlier) = (client, state.interrupt)
        state.interrupt = Task {
            await earlier?.value
            _ = try? await client.call(.POST, "/api/kernels/\(kernel)/interrupt")
        }
    }

    func close() async {
        let session = state.withLock { state in
            state.isClosed = true
            fail(.kernelDied("the context was deleted"), &state)
            return state.session
        }
        if let session { _ = try? await client.call(.DELETE, "/api/sessions/\(session)") }
    }
}
