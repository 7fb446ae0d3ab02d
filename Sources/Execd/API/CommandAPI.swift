import HTTPServer
import NIOCore
import NIOHTTP1
import Spelling
import System
import Tracing

/// The routes below `/command` (docs/wire.md#commands).
struct CommandAPI: Sendable {
    let runner: CommandRunner

    func add(to http: inout HTTPAPI) {
        http.on(.POST, "/command", threads: SpawnThreads.tasks) { try run(try await $0.wholeBody()) }
        http.on(.DELETE, "/command") { try await interrupt($0) }
        http.on(.GET, "/command") { try list($0) }
        http.on(.GET, "/command/status/{id}") { .json(.ok, CommandStatus(try record($0))) }
        http.on(.POST, "/command/{id}/stdin") { try await write($0) }
        http.on(.GET, "/command/{id}/logs") { try await logs($0) }
    }

    /// `POST /command`. Not asynchronous: what such a function needs is kept until the command ends.
    @inline(never) private func run(_ body: [UInt8]) throws -> Reply {
        var command = try CommandRequest.decode(body)
        // The trace goes on in the program, which may ask others (OpenTelemetry, "Environment Variables as Context Propagation
        // Carriers").
        if let span = ActiveSpan.current {
            command.envs = ["TRACEPARENT": span.context.traceparent].merging(command.envs ?? [:]) { _, asked in asked }
        }
        if let cwd = command.cwd, !FileStatus.isFolder(cwd) {
            throw RequestBodyError("cwd: \(cwd) is not a directory")
        }
        return command.background ?? false
            ? ExecutionStream.background(runner.start(command).record) : ExecutionStream.reply(runner.stream(command))
    }

    /// `DELETE /command?id=`
    private func interrupt(_ request: HTTPRequest) async throws(ExecdError) -> Reply {
        guard let id = request.query("id"), !id.isEmpty else {
            throw ExecdError(.badRequest, "MISSING_QUERY", "id is required")
        }
        guard await runner.interrupt(id) else { throw .failed("no command \(id) is running") }
        return .empty(.ok)
    }

    /// `GET /command?running=`: commands, runs of sessions and of code, and shells of terminals, the oldest first.
    private func list(_ request: HTTPRequest) throws(ExecdError) -> Reply {
        let isRunning: Bool?
        switch request.query("running") ?? "" {
        case "": isRunning = nil
        case "true": isRunning = true
        case "false": isRunning = false
        default: throw .invalid("running must be true or false")
        }
        let found = runner.registry.inOrder.map(CommandStatus.init)
        return .json(.ok, found.filter { isRunning == nil || $0.running == isRunning })
    }

    private struct Written: Encodable {
        /// Bytes.
        var written: Int
    }

    /// `POST /command/{id}/stdin?end=`: the body's bytes, handed on as the command reads them.
    private func write(_ request: HTTPRequest) async throws -> Reply {
        let record = try record(request)
        let ends = try Self.flag("end", request)
        var written = 0
        func refusal() -> ExecdError {
            ExecdError(
                .conflict, "STDIN_CLOSED",
                "command \(record.id) takes no input: it was started without stdin_open, has ended, or has ended its input"
                    + (written > 0 ? "; it has been given \(written) bytes" : ""))
        }
        guard let input = record.input, !input.isClosed else { throw refusal() }
        for try await part in request.body where part.readableBytes > 0 {
            guard await input.write(Array(part.readableBytesView)) else { throw refusal() }
            written += part.readableBytes
        }
        if ends, !input.end() { throw refusal() }
        return .json(.ok, Written(written: written))
    }

    private static func flag(_ name: String, _ request: HTTPRequest) throws(ExecdError) -> Bool {
        switch request.query(name) ?? "" {
        case "", "false": return false
        case "true": return true
        default: throw .invalid("\(name) must be true or false")
        }
    }

    /// `GET /command/{id}/logs?cursor=`
    private func logs(_ request: HTTPRequest) async throws -> Reply {
        let record = try record(request)
        let text = request.query("cursor") ?? ""
        guard let cursor = text.isEmpty ? 0 : Int(text), cursor >= 0 else {
            throw ExecdError.invalid("cursor is not a byte offset")
        }
        let end = record.log?.end ?? 0
        let headers: HTTPHeaders = [
            "content-type": "text/plain; charset=utf-8", "EXECD-COMMANDS-TAIL-CURSOR": String(end),
        ]
        guard let log = record.log, cursor < end else { return Reply(.ok, headers: headers) }
        @Sendable func read(from position: Int) async throws -> (bytes: [UInt8], end: Int) {
            try await FileWork()() { log.read(position..<end, upTo: Self.piece) }
        }
        let first = try await read(from: cursor)
        guard first.end < end else { return Reply(.ok, headers: headers, body: .bytes(first.bytes)) }
        return .stream(.ok, headers: headers) { writer in
            var (bytes, position) = first
            while !bytes.isEmpty {
                try await writer.write(ByteBuffer(bytes: bytes))
                (bytes, position) = try await read(from: position)
            }
        }
    }

    /// Bytes of a log read at a time.
    private static let piece = 256 << 10

    /// The command that the path names.
    private func record(_ request: HTTPRequest) throws(ExecdError) -> CommandRecord {
        let id = request.parameters["id"] ?? ""
        guard let record = runner.registry[id] else { throw .unknown("command", id) }
        return record
    }
}

/// What `GET /command/status/{id}` answers.
private struct CommandStatus: Encodable, Sendable {
    var id: String
    var content: String
    var running: Bool
    var exit_code: Int32?
    var error: String?
    var started_at: String
    var finished_at: String?

    init(_ record: CommandRecord) {
        let state = record.current
        id = record.id
        content = record.content
        running = state.finishedAt == nil
        exit_code = state.finishedAt == nil ? nil : state.exit?.code ?? 127
        error = state.failure ?? state.explanation
        started_at = Self.time(record.startedAt)
        finished_at = state.finishedAt.map(Self.time)
    }

    private static func time(_ milliseconds: Int64) -> String {
        InternetTime.text(milliseconds: milliseconds)
    }
}
