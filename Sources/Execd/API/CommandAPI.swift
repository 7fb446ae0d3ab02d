import FoundationEssentials
import HTTPServer
import NIOCore
import NIOHTTP1
import System

/// The routes below `/command` (docs/wire.md#commands).
struct CommandAPI: Sendable {
    let runner: CommandRunner

    func add(to http: inout HTTPAPI) {
        http.on(.POST, "/command") { try await run($0) }
        http.on(.DELETE, "/command") { try interrupt($0) }
        http.on(.GET, "/command/status/{id}") { .json(.ok, CommandStatus(try record($0))) }
        http.on(.GET, "/command/{id}/logs") { try logs($0) }
    }

    /// `POST /command`
    private func run(_ request: HTTPRequest) async throws -> Reply {
        let command = try CommandRequest.decode(try await request.wholeBody())
        if let cwd = command.cwd, !FileStatus.isFolder(cwd) {
            throw RequestBodyError("cwd: \(cwd) is not a directory")
        }
        let (record, events) = try await SpawnThreads.run { runner.start(command) }
        return command.background ?? false
            ? ExecutionStream.background(record) : ExecutionStream.reply(record, events, maxLine: runner.maxLine)
    }

    /// `DELETE /command?id=`
    private func interrupt(_ request: HTTPRequest) throws(ExecdError) -> Reply {
        guard let id = request.query("id"), !id.isEmpty else {
            throw ExecdError(.badRequest, "MISSING_QUERY", "id is required")
        }
        guard runner.interrupt(id) else { throw .failed("no command \(id) is running") }
        return .empty(.ok)
    }

    /// `GET /command/{id}/logs?cursor=`
    private func logs(_ request: HTTPRequest) throws(ExecdError) -> Reply {
        let record = try record(request)
        let text = request.query("cursor") ?? ""
        guard let cursor = text.isEmpty ? 0 : Int(text), cursor >= 0 else {
            throw .invalid("cursor is not a byte offset")
        }
        let (bytes, end) = record.log(from: cursor)
        return Reply(
            .ok, headers: ["content-type": "text/plain; charset=utf-8", "EXECD-COMMANDS-TAIL-CURSOR": String(end)],
            body: .bytes(bytes))
    }

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
        Date(timeIntervalSince1970: Double(milliseconds) / 1000).formatted(
            Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }
}
