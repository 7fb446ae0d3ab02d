import ArgumentParser
import Client
import HTTPClient
import JSON
import ProgramSupport
import System

#if canImport(Glibc)
    import Glibc
#endif

/// `sallyport sandbox exec`
struct ExecuteCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exec", abstract: "Run a program in a sandbox. Its exit status becomes this command's.",
        discussion: "It ends when this command does.")

    @OptionGroup var connection: ConnectionOptions
    @Flag(name: [.customShort("i"), .customLong("stdin")], help: "Give it this command's standard input.")
    var takesInput = false
    @Option(help: "The folder that it runs in.") var cwd: String?
    @Option(help: "How long it may take before it is ended: 90s, 10m, 1h.") var timeout: String?
    @Option(help: "A variable, NAME=VALUE; more than once for more.") var env: [String] = []
    @Argument(help: "The sandbox's id.") var id: String
    @Argument(parsing: .captureForPassthrough, help: "The program and its arguments; -- may stand before them.")
    var words: [String]

    func run() async throws {
        try await connection.run { api in
            let execd = try await SandboxPort(api, sandbox: id, port: SandboxPort.execd)
            let request = execd.request(
                "POST", "/command", headers: [("Content-Type", "application/json")], body: .bytes(try body().encoded))
            let status = try await follow(try await api.stream(request), execd)
            guard status == 0 else { throw ExitCode(status) }
        }
    }

    private func body() throws(ClientFailure) -> JSONValue {
        let words = words.first == "--" ? Array(words.dropFirst()) : words
        guard !words.isEmpty else {
            throw ClientFailure(.usage, "say what to run: sallyport sandbox exec \(id) -- ls -l")
        }
        var body = JSONObject()
        body.set("argv", .array(words.map { .string($0) }))
        if let cwd { body.set("cwd", .string(cwd)) }
        if let timeout { body.set("timeout", .integer(try SpanOption.seconds(timeout, "--timeout") * 1000)) }
        if takesInput { body.set("stdin_open", .boolean(true)) }
        if let variables = try JSONValue(pairs: env, option: "--env") { body.set("envs", variables) }
        return .object(body)
    }

    /// - Returns: the program's exit status.
    private func follow(_ stream: ResponseStream, _ execd: SandboxPort) async throws -> Int32 {
        var output = CommandOutput()
        var lines = stream.lines
        var input: Task<Void, Never>?
        defer { input?.cancel() }
        while let line = try await lines.next() {
            switch output.take(line) {
            case .begun(let id) where takesInput && input == nil: input = Task { await Self.feed(id, execd) }
            case .output(let bytes): try OutputPiece.write(bytes, to: STDOUT_FILENO)
            case .errors(let bytes): try OutputPiece.write(bytes, to: STDERR_FILENO)
            case .ended(let status):
                try OutputPiece.write(output.rest.output, to: STDOUT_FILENO)
                try OutputPiece.write(output.rest.errors, to: STDERR_FILENO)
                return status
            case .failed(let reason): throw ClientFailure(.refused, reason.isEmpty ? "the command did not run" : reason)
            case .begun, nil: break
            }
        }
        throw ClientFailure(.unreachable, "the sandbox was cut off before the command's end")
    }

    /// Sends standard input on until it ends, or the command takes no more.
    private static func feed(_ id: String, _ execd: SandboxPort) async {
        let reader = WorkerPool(maxThreads: 1)
        while !Task.isCancelled {
            let piece = await reader.run { (try? InputPiece.next(STDIN_FILENO)) ?? [] }
            let path = "/command/\(PercentEncoding.encode(id))/stdin" + (piece.isEmpty ? "?end=true" : "")
            let request = execd.request(
                "POST", path, headers: [("Content-Type", "application/octet-stream")], body: .bytes(piece))
            guard (try? await execd.api.stream(request)) != nil, !piece.isEmpty else { return }
        }
    }
}

/// What there is to read, in one piece.
enum InputPiece {
    private static let most = 64 << 10

    /// - Returns: nothing at the end.
    static func next(_ descriptor: CInt) throws(SystemCallError) -> [UInt8] {
        var piece = [UInt8](repeating: 0, count: most)
        while true {
            let got = piece.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if got >= 0 { return Array(piece.prefix(got)) }
            try SystemCallError.last.retry(descriptor, POLLIN)
        }
    }
}

enum OutputPiece {
    /// Writes all of it.
    static func write(_ bytes: some Sequence<UInt8>, to descriptor: CInt) throws(SystemCallError) {
        var rest = Array(bytes)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 {
                try SystemCallError.last.retry(descriptor, POLLOUT)
            } else {
                // write(2) gives no reason for writing nothing.
                guard count > 0 else { throw SystemCallError(code: EIO) }
                rest = rest.dropFirst(count)
            }
        }
    }
}

extension SystemCallError {
    /// Waits until the call may be made again, also on what another program that shares it has made non-blocking.
    /// - Throws: this error, where the call would only fail again.
    fileprivate func retry(_ descriptor: CInt, _ event: CInt) throws(SystemCallError) {
        if isInterruption { return }
        guard code == EAGAIN else { throw self }
        var ready = pollfd(fd: descriptor, events: Int16(event), revents: 0)
        poll(&ready, 1, -1)
    }
}
