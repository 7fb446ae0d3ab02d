import FoundationEssentials
import HTTPServer
import Logging
import NIOCore
import NIOPosix
import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The daemon inside a sandbox.
package enum Execd {
    /// The variables of this process.
    package static var environment: [ExactName: String] {
        var found: [ExactName: String] = [:]
        var next = environ
        while let entry = next.pointee {
            let text = String(cString: entry).unicodeScalars
            if let sign = text.firstIndex(of: "=") {
                found[ExactName(String(text[..<sign]))] = String(text[sign...].dropFirst())
            }
            next += 1
        }
        return found
    }

    /// Runs the program and returns its exit code. `environment` is the environment of commands.
    ///
    /// Not asynchronous, because init waits for signals on the main thread, and an asynchronous main would end that
    /// thread with pthread_exit, which unwinds its stack. In a static executable unwinding first sorts the whole frame
    /// table, which would add 20 ms to the start of every sandbox.
    package static func run(_ arguments: [String], environment: [ExactName: String]) -> Int32 {
        let options: Options
        do throws(Options.OptionError) {
            options = try Options.parse(Array(arguments.dropFirst()))
        } catch {
            complain("\(error)\n\(Options.usage)")
            return 2
        }
        if let line = options.answer {
            write(STDOUT_FILENO, line, line.utf8.count)
            return 0
        }
        if !options.serves && !options.entrypoint.isEmpty {
            return SandboxInit.run(options, executable: "/proc/self/exe", environment: environment)
        }
        Task.detached {
            do {
                _ = try await serve(options, environment: environment)
                await ReadinessListener.start(environment)
            } catch {
                complain("cannot listen on port \(options.port): \(error)")
                exit(1)
            }
        }
        // The server runs on its own threads until the process is ended.
        while true { pause() }
    }

    /// Serves the API on every address of the sandbox.
    /// - Returns: the server and the address that it listens on.
    static func serve(
        _ options: Options, environment: [ExactName: String]
    ) async throws -> (server: HTTPServer, address: SocketAddress) {
        var logger = Logger(label: "execd")
        logger.logLevel = .warning
        if let path = environment["EXECD_ENVS"] { prepareFolder(of: path) }
        let token = try options.tokenFile.map { path in
            String(decoding: try File.read(path), as: UTF8.self).filter { !$0.isWhitespace }
        }
        let runner = CommandRunner(
            environment: CommandEnvironment(environment, group: options.commandGroup), maxLine: options.maxLine)
        let expansion = PathExpansion(home: environment["HOME"] ?? "/")
        let sessions = SessionAPI(runner: runner, expansion: expansion)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let kernels = KernelChoice(environment, runner: runner, group: group)
        let contexts = CodeContexts { language, id, folder in
            try await kernels.kernel(language, id: id, folder: folder)
        }
        let code = CodeAPI(contexts: contexts, runner: runner, expansion: expansion) { id in
            if runner.interrupt(id) { return true }
            return try await sessions.delete(id)
        }
        let api = ExecdAPI(
            commands: CommandAPI(runner: runner), sessions: sessions, code: code,
            terminals: TerminalAPI(runner: runner, expansion: expansion),
            files: FilesAPI(expansion: expansion), token: token, logger: logger)
        let server = HTTPServer(
            group: group, logger: logger, application: api.http)
        do {
            // "::" accepts IPv4 as well.
            return (server, try await server.start(on: .tcp(host: "::", port: options.port)))
        } catch let error as IOError where error.errnoCode == EAFNOSUPPORT || error.errnoCode == EADDRNOTAVAIL {
            return (server, try await server.start(on: .tcp(host: "0.0.0.0", port: options.port)))
        }
    }

    private static func prepareFolder(of path: String) {
        mkdir(FilePath.folder(of: path), 0o755)
    }

    private static func complain(_ text: String) {
        let line = "execd: \(text)\n"
        write(STDERR_FILENO, line, line.utf8.count)
    }
}
