import NIOCore
import NIOPosix
import Spelling

#if canImport(Glibc)
    import Glibc
#endif

/// Which kernel a new context gets: one of the sandbox's Jupyter server, where there is one, or a process of execd's own.
struct KernelChoice: Sendable {
    private enum Place: Sendable {
        /// The environment names a server: it is waited for.
        case named(JupyterServer)
        /// An image with a Jupyter that sets nothing: it may run or not.
        case likely(JupyterServer)
        case none
        /// The environment names what cannot be.
        case wrong(String)
    }

    /// How long a server may take to come up, and to know a kernel. Clients wait 30 s for an answer.
    private static let patience = Duration.seconds(20)

    private let place: Place
    private let runner: CommandRunner
    private let group: any EventLoopGroup

    init(_ environment: [ExactName: String], runner: CommandRunner, group: any EventLoopGroup) {
        self.runner = runner
        self.group = group
        do throws(JupyterServer.SettingError) {
            if let server = try JupyterServer.named(environment) {
                place = .named(server)
            } else if !ReadinessListener.isWanted(environment), let server = JupyterServer.usual(environment) {
                place = .likely(server)
            } else {
                place = .none
            }
        } catch {
            place = .wrong(error.description)
            let line = "execd: \(error): code contexts are refused\n"
            write(STDERR_FILENO, line, line.utf8.count)
        }
    }

    func kernel(_ language: KernelLanguage, id: String, folder: String?) async throws -> any CodeKernel {
        switch place {
        case .wrong(let reason): throw ExecdError.failed(reason)
        case .none: return try await own(language, folder)
        case .named(let server):
            return try await jupyter(server, language, id, folder, within: Self.patience)
        case .likely(let server):
            do {
                return try await jupyter(server, language, id, folder, within: .zero)
            } catch {
                guard language == .python || language == .bash else { throw error }
                return try await own(language, folder)
            }
        }
    }

    private func jupyter(
        _ server: JupyterServer, _ language: KernelLanguage, _ id: String, _ folder: String?, within budget: Duration
    ) async throws -> any CodeKernel {
        let kernel = JupyterKernel(
            id: id, language: language, folder: folder, client: JupyterClient(server: server, group: group))
        do {
            try await kernel.prepare(within: budget)
        } catch {
            throw ExecdError.failed("\(language.rawValue) does not start: \(error)")
        }
        return kernel
    }

    private func own(_ language: KernelLanguage, _ folder: String?) async throws -> any CodeKernel {
        let dialogue: any DriverDialogue
        switch language {
        case .python: dialogue = PythonDialogue()
        case .bash: dialogue = ShellCodeDialogue(shell: runner.environment.shell)
        case .java, .javascript, .typescript, .go:
            throw ExecdError.failed(
                "\(language.rawValue) needs a Jupyter server with a kernel for it, and the image has none "
                    + "(JUPYTER_HOST); without one there are python and bash")
        }
        let kernel = ProcessKernel(dialogue, folder: folder, runner: runner)
        do {
            try await SpawnThreads.run { try kernel.prepare() }
        } catch let error as SpawnError {
            throw ExecdError.failed("\(language.rawValue) does not start: \(error)")
        }
        return kernel
    }
}
