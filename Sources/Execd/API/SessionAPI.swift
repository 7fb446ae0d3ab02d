import HTTPServer
import NIOCore
import NIOHTTP1

/// `/session` (docs/wire.md#sessions).
struct SessionAPI: Sendable {
    let runner: CommandRunner
    let expansion: PathExpansion
    private let sessions = SessionRegistry()

    private static let maxRequest = 4 << 20

    init(runner: CommandRunner, expansion: PathExpansion) {
        self.runner = runner
        self.expansion = expansion
    }

    /// - Returns: false where the path is none of these.
    func answer(_ path: ArraySlice<String>, _ request: HTTPRequest, _ response: HTTPResponseWriter) async throws -> Bool
    {
        let path = Array(path)
        switch (request.method, path.count) {
        case (.POST, 1): try await create(request, response)
        case (.DELETE, 2): try await delete(path[1], response)
        case (.POST, 3) where path[2] == "run": try await run(path[1], request, response)
        default: return false
        }
        return true
    }

    private struct Created: Encodable, Sendable {
        var session_id: String
    }

    /// `POST /session`
    private func create(_ request: HTTPRequest, _ response: HTTPResponseWriter) async throws {
        let body = try await request.body.collect(upTo: Self.maxRequest)
        let folder: String?
        do throws(RequestBodyError) {
            folder = try self.folder(try SessionRequest.decode(Array(body.readableBytesView)).cwd, from: nil)
        } catch {
            return try await refuse(error, response)
        }
        let session = ShellSession(id: CommandRunner.identifier(), folder: folder, environment: runner.environment)
        guard sessions.add(session) else {
            return try await response.respondError(
                .internalServerError, code: "RUNTIME_ERROR",
                message: "there are \(SessionRegistry.maxSessions) sessions already: delete one")
        }
        try await response.respondJSON(.ok, Created(session_id: session.id))
    }

    /// `DELETE /session/{id}`
    private func delete(_ id: String, _ response: HTTPResponseWriter) async throws {
        guard let session = sessions.remove(id) else { return try await notFound(id, response) }
        try await SpawnThreads.run { session.delete() }
        try await response.respond(.ok)
    }

    /// `POST /session/{id}/run`
    private func run(_ id: String, _ request: HTTPRequest, _ response: HTTPResponseWriter) async throws {
        let body = try await request.body.collect(upTo: Self.maxRequest)
        guard let session = sessions[id] else { return try await notFound(id, response) }
        let run: SessionRunRequest
        let record: CommandRecord
        let events: AsyncStream<ProcessEvent>
        do {
            (run, record, events) = try await SpawnThreads.run {
                var run = try SessionRunRequest.decode(Array(body.readableBytesView))
                run.cwd = try folder(run.cwd, from: session.folder)
                let record = runner.record(of: run.command)
                return (run, record, try session.run(run, record))
            }
        } catch let error as RequestBodyError {
            return try await refuse(error, response)
        } catch let error as ShellSession.UnavailableError {
            guard error == .busy else { return try await notFound(id, response) }
            return try await response.respondError(
                .badRequest, code: "RUNTIME_ERROR",
                message: "session \(id) is running a command: wait for its end, or use another session")
        }
        runner.registry.add(record)
        runner.limit(record, milliseconds: run.timeout ?? 0)
        try await ExecutionStream.send(record, events, maxLine: runner.maxLine, response)
    }

    private func folder(_ path: String?, from base: String?) throws(RequestBodyError) -> String? {
        guard let path, !path.isEmpty else { return nil }
        let folder: String
        do throws(FileError) {
            folder = try PathExpansion(home: expansion.home, base: base ?? expansion.base)(path)
        } catch {
            throw RequestBodyError("cwd: \(error)")
        }
        guard FileStatus.isFolder(folder) else { throw RequestBodyError("cwd: \(path) is not a directory") }
        return folder
    }

    private func refuse(_ reason: RequestBodyError, _ response: HTTPResponseWriter) async throws {
        try await response.respondError(.badRequest, code: "INVALID_REQUEST_BODY", message: reason.description)
    }

    private func notFound(_ id: String, _ response: HTTPResponseWriter) async throws {
        try await response.respondError(.notFound, code: "CONTEXT_NOT_FOUND", message: "no session \(id) is known")
    }
}
