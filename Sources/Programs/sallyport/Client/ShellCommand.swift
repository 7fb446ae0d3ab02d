import ArgumentParser
import Client
import FoundationEssentials
import JSON
import ProgramSupport
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// `sallyport sandbox shell`
struct ShellCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "shell", abstract: "Open a terminal in a sandbox. The shell's exit status becomes this command's.",
        discussion:
            "Keys go to the sandbox. ~. at the beginning of a line ends the connection and what runs in the terminal; ~~ there is a ~."
    )

    @OptionGroup var connection: ConnectionOptions
    @Option(help: "The folder that it begins in.") var cwd: String?
    @Option(help: "A variable, NAME=VALUE; more than once for more.") var env: [String] = []
    @Argument(help: "The sandbox's id.") var id: String
    @Argument(
        parsing: .captureForPassthrough,
        help: "A program and its arguments in the place of a shell; -- may stand before them.")
    var words: [String] = []

    func run() async throws {
        try await connection.run { api in
            guard RawTerminal.isThere else {
                throw ClientFailure(
                    .usage,
                    "shell needs a terminal, and standard input is not one: sallyport sandbox exec -i \(id) -- PROGRAM reads it"
                )
            }
            let program = words.first == "--" ? Array(words.dropFirst()) : words
            let execd = try await SandboxPort(api, sandbox: id, port: SandboxPort.execd)
            let terminal = try await SandboxTerminal(
                at: execd, size: RawTerminal.size, words: program, folder: cwd,
                variables: try JSONValue(pairs: Self.kind + env, option: "--env"))
            let status: Int32
            do {
                status = try await RawTerminal.during { news in try await Self.join(terminal, news) }
            } catch {
                await terminal.end()
                throw error
            }
            await terminal.end()
            guard status == 0 else { throw ExitCode(status) }
        }
    }

    /// What programs in the sandbox are to know of this terminal.
    private static var kind: [String] {
        ProcessInfo.processInfo.environment["TERM"].map { $0.isEmpty ? [] : ["TERM=\($0)"] } ?? []
    }

    /// Joins the two terminals until either goes.
    /// - Returns: the exit status.
    private static func join(_ terminal: SandboxTerminal, _ news: AsyncStream<RawTerminal.News>) async throws -> Int32 {
        let (ends, end) = AsyncStream<Result<Int32, any Error>>.makeStream()
        let isShown = isatty(STDOUT_FILENO) == 1
        let tasks = [
            Task {
                do {
                    let status = try await terminal.follow { event in
                        if case .output(let bytes) = event { try OutputPiece.write(bytes, to: STDOUT_FILENO) }
                    }
                    end.yield(.success(status))
                } catch let error as SystemCallError where isShown && error.code == EIO {
                    end.yield(.success(hungUp))
                } catch { end.yield(.failure(error)) }
            },
            Task {
                do {
                    if let status = try await type(at: terminal) { end.yield(.success(status)) }
                } catch { end.yield(.failure(error)) }
            },
            Task {
                for await message in news {
                    switch message {
                    case .resized: await terminal.resize(RawTerminal.size)
                    case .ended(let number): end.yield(.success(128 + number))
                    }
                }
            },
        ]
        defer { for task in tasks { task.cancel() } }
        for await outcome in ends { return try outcome.get() }
        return 0
    }

    /// The terminal itself is gone, whether or not a signal has come of it.
    private static let hungUp = 128 + SIGHUP

    /// What may wait to be sent, in bytes; execd never lets as much wait.
    private static let mostWaiting = 4 << 20

    /// Reads on while what was typed before is sent, so that the way out is seen when nothing is taken any more.
    /// - Returns: the exit status, where it ends the connection.
    private static func type(at terminal: SandboxTerminal) async throws -> Int32? {
        let (pieces, sender) = AsyncStream<[UInt8]>.makeStream()
        let waiting = Mutex(0)
        let sending = Task {
            for await piece in pieces {
                // Who hears nothing any more is told by the connection.
                guard await terminal.type(piece) else { return }
                waiting.withLock { $0 -= piece.count }
            }
        }
        defer { sending.cancel() }
        let reader = WorkerPool(maxThreads: 1)
        var input = EscapedInput()
        while !Task.isCancelled {
            let typed: [UInt8]
            do throws(SystemCallError) {
                typed = try await reader.run { () throws(SystemCallError) in try InputPiece.next(STDIN_FILENO) }
            } catch {
                guard error.code == EIO else { throw error }
                return hungUp
            }
            // A raw terminal has no other end.
            guard !typed.isEmpty else { return hungUp }
            let piece = input.take(typed)
            if piece.leaves { return 0 }
            let isTooMuch = waiting.withLock { waiting in
                waiting += piece.bytes.count
                return waiting > mostWaiting
            }
            guard !isTooMuch else { throw ClientFailure(.unreachable, "the sandbox takes no input any more") }
            sender.yield(piece.bytes)
        }
        return nil
    }
}
