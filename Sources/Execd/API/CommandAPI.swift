import FoundationEssentials
import HTTPServer
import NIOCore
import NIOHTTP1
import System

/// The routes below `/command` (docs/wire.md#commands).
struct CommandAPI: Sendable {
    let runner: CommandRunner

    private static let maxRequest = 4 << 20

    /// - Returns: false where the path is none of these.
    func answer(_ path: ArraySlice<String>, _ request: HTTPRequest, _ response: HTTPResponseWriter) async throws -> Bool
    {
        let path = Array(path)
        switch (request.method, path.count) {
        case (.POST, 1): try await run(request, response)
        case (.DELETE, 1): try await interrupt(request, response)
        case (.GET, 3) where path[1] == "status": try await status(path[2], response)
        case (.GET, 3) where path[2] == "logs": try await logs(path[1], request, response)
        default: return false
        }
        return true
    }

    /// `POST /command`
    func run(_ request: HTTPRequest, _ response: HTTPResponseWriter) async throws {
        let body = try await request.body.collect(upTo: Self.maxRequest)
        let command: CommandRequest
        do throws(RequestBodyError) {
            command = try CommandRequest.decode(Array(body.readableBytesView))
            if let cwd = command.cwd, !FileStatus.isFolder(cwd) {
                throw RequestBodyError("cwd: \(cwd) is not a directory")
            }
        } catch {
            return try await response.respondError(
                .badRequest, code: "INVALID_REQUEST_BODY", message: error.description)
        }
        let (record, events) = try await SpawnThreads.run { runner.start(command) }
        if command.background ?? false {
            try await background(record, response)
        } else {
            try await ExecutionStream.send(record, events, maxLine: runner.maxLine, response)
        }
    }

    /// `DELETE /command?id=`
    func interrupt(_ request: HTTPRequest, _ response: HTTPResponseWriter) async throws {
        guard let id = request.query("id"), !id.isEmpty else {
            return try await response.respondError(.badRequest, code: "MISSING_QUERY", message: "id is required")
        }
        guard runner.interrupt(id) else {
            return try await response.respondError(
                .internalServerError, code: "RUNTIME_ERROR", message: "no command \(id) is running")
        }
        try await response.respond(.ok)
    }

    /// `GET /command/status/{id}`
    func status(_ id: String, _ response: HTTPResponseWriter) async throws {
        guard let record = runner.registry[id] else { return try await notFound(id, response) }
        try await response.respondJSON(.ok, CommandStatus(record))
    }

    /// `GET /command/{id}/logs?cursor=`
    func logs(_ id: String, _ request: HTTPRequest, _ response: HTTPResponseWriter) async throws {
        guard let record = runner.registry[id] else { return try await notFound(id, response) }
        let text = request.query("cursor") ?? ""
        guard let cursor = text.isEmpty ? 0 : Int(text), cursor >= 0 else {
            return try await response.respondError(
                .badRequest, code: "INVALID_REQUEST_BODY", message: "cursor is not a byte offset")
        }
        let (bytes, end) = record.log(from: cursor)
        try await response.respond(
            .ok, headers: ["content-type": "text/plain; charset=utf-8", "EXECD-COMMANDS-TAIL-CURSOR": String(end)],
            body: ByteBuffer(bytes: bytes))
    }

    private func notFound(_ id: String, _ response: HTTPResponseWriter) async throws {
        try await response.respondError(.notFound, code: "CONTEXT_NOT_FOUND", message: "no command \(id) is known")
    }

    private func background(_ record: CommandRecord, _ response: HTTPResponseWriter) async throws {
        let writer = EventWriter(response: response)
        try await writer.start()
        try await writer.send(.initialized(record.id, at: CommandRunner.now()))
        if let failure = record.current.failure {
            try await writer.send(.failed("127", traceback: [failure], at: CommandRunner.now()))
        } else {
            try await writer.send(.completed(after: 0, at: CommandRunner.now()))
        }
        try await response.finish()
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
        Date(timeIntervalSince1970: Double(milliseconds) / 1000).formatted(
            Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }
}
