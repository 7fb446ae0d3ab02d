import FoundationEssentials
import HTTPServer
import NIOCore
import NIOHTTP1

#if canImport(Glibc)
    import Glibc
#endif

/// `/command` and what belongs to it (CLIENTS.md, section 6).
struct CommandAPI: Sendable {
    let runner: CommandRunner

    private static let largestRequest = 4 << 20
    private static let pingInterval = Duration.seconds(3)

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
        let body = try await request.body.collect(upTo: Self.largestRequest)
        let command: CommandRequest
        do throws(CommandRequest.Invalid) {
            command = try CommandRequest.decode(Array(body.readableBytesView))
            if let cwd = command.cwd, !Self.isDirectory(cwd) { throw .init("cwd: \(cwd) is no directory") }
        } catch {
            return try await response.respondError(
                .badRequest, code: "INVALID_REQUEST_BODY", message: error.description)
        }
        let (record, events) = runner.start(command)
        if command.background ?? false {
            try await background(record, response)
        } else {
            try await foreground(record, events, response)
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
                .badRequest, code: "INVALID_REQUEST_BODY", message: "cursor is no byte offset")
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
            try await writer.send(.failed("1", traceback: [failure], at: CommandRunner.now()))
        } else {
            try await writer.send(.completed(after: 0, at: CommandRunner.now()))
        }
        try await response.finish()
    }

    private func foreground(
        _ record: CommandRecord, _ events: AsyncStream<ProcessEvent>, _ response: HTTPResponseWriter
    ) async throws {
        // A foreground command is its client's: it dies with the connection.
        response.whenClientGone { record.signal(SIGKILL, because: "the client has gone") }
        let writer = EventWriter(response: response)
        try await writer.start()
        try await writer.send(.initialized(record.id, at: CommandRunner.now()))
        let pings = Task {
            while !Task.isCancelled {
                try await Task.sleep(for: Self.pingInterval)
                try await writer.send(.ping(at: CommandRunner.now()))
            }
        }
        defer { pings.cancel() }
        var texts: [OutputStream: TextAssembler] = [.standardOutput: TextAssembler(), .standardError: TextAssembler()]
        for await event in events {
            guard case .output(let stream, let bytes) = event else { continue }
            record.consumed(bytes.count)
            let now = CommandRunner.now()
            try await writer.send(texts[stream]!.append(bytes).map { .output(stream, $0, at: now) })
        }
        pings.cancel()
        let now = CommandRunner.now()
        var last = texts[.standardOutput]!.finish().map { StreamEvent.output(.standardOutput, $0, at: now) }
        last += texts[.standardError]!.finish().map { .output(.standardError, $0, at: now) }
        try await writer.send(last + [Self.end(of: record, at: now)])
        try await response.finish()
    }

    private static func end(of record: CommandRecord, at now: Int64) -> StreamEvent {
        let state = record.current
        switch (state.failure, state.exit) {
        case (let failure?, nil): return .failed("127", traceback: [failure], at: now)
        case (let failure?, _): return .failed("-1", traceback: [failure], at: now)
        case (nil, .exited(0)?): return .completed(after: now - record.startedAt, at: now)
        case (nil, let status): return .failed(String(status?.code ?? -1), at: now)
        }
    }

    private static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
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
        error = state.failure
        started_at = Self.time(record.startedAt)
        finished_at = state.finishedAt.map(Self.time)
    }

    private static func time(_ milliseconds: Int64) -> String {
        Date(timeIntervalSince1970: Double(milliseconds) / 1000).formatted(
            Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }
}

/// Writes events as they come; whole ones, whoever writes.
actor EventWriter {
    private let response: HTTPResponseWriter

    init(response: HTTPResponseWriter) { self.response = response }

    func start() async throws {
        try await response.start(
            .ok, headers: ["content-type": "text/event-stream", "cache-control": "no-cache", "x-accel-buffering": "no"])
    }

    func send(_ event: StreamEvent) async throws { try await send([event]) }

    func send(_ events: [StreamEvent]) async throws {
        guard !events.isEmpty else { return }
        try await response.write(ByteBuffer(bytes: events.flatMap(\.serverSentBytes)))
    }
}
