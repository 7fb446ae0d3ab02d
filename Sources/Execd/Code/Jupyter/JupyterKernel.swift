import JSON
import NIOHTTP1
import Synchronization
import System

/// A kernel of a Jupyter server. It outlives its connection: one that is lost is made anew for the next run, and so is a
/// kernel that its server no longer knows.
final class JupyterKernel: CodeKernel {
    struct Run {
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

    struct State {
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

    /// How long a kernel that has ended may take to be back.
    static let restartPatience = Duration.seconds(30)

    let id: String
    let language: KernelLanguage
    private let folder: String?
    let client: JupyterClient
    let state = Mutex(State())

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

    /// The connection, made anew where it is lost; and the kernel, where its server has lost it.
    func connected() async throws -> KernelSocket {
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

    func close() async {
        let session = state.withLock { state in
            state.isClosed = true
            fail(.kernelDied("the context was deleted"), &state)
            return state.session
        }
        if let session { _ = try? await client.call(.DELETE, "/api/sessions/\(session)") }
    }
}
