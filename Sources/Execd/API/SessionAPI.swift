import HTTPServer
import NIOCore
import NIOHTTP1

/// `/session` (docs/wire.md#sessions).
struct SessionAPI: Sendable {
    let runner: CommandRunner
    let expansion: PathExpansion
    private let sessions = SessionRegistry()

    init(runner: CommandRunner, expansion: PathExpansion) {
        self.runner = runner
        self.expansion = expansion
    }

    func add(to http: inout HTTPAPI) {
        http.on(.POST, "/session") { try await create($0) }
        http.on(.DELETE, "/session/{id}") { request in
            let id = request.parameters["id"] ?? ""
            guard try await delete(id) else { throw ExecdError.unknown("session", id) }
            return .empty(.ok)
        }
        http.on(.POST, "/session/{id}/run", threads: SpawnThreads.tasks) {
            try run(try await $0.wholeBody(), in: $0.parameters["id"] ?? "")
        }
    }

    /// - Returns: false if there is no such session.
    func delete(_ id: String) async throws -> Bool {
        guard let session = sessions.remove(id) else { return false }
        try await SpawnThreads.run { session.delete() }
        return true
    }

    private struct Created: Encodable {
        var session_id: String
    }

    /// `POST /session`
    private func create(_ request: HTTPRequest) async throws -> Reply {
        let folder = try self.folder(try SessionRequest.decode(try await request.wholeBody()).cwd, from: nil)
        let session = ShellSession(id: CommandRunner.identifier(), folder: folder, environment: runner.environment)
        guard sessions.add(session) else {
            throw ExecdError.failed("there are \(SessionRegistry.maxSessions) sessions already: delete one")
        }
        return .json(.ok, Created(session_id: session.id))
    }

    /// `POST /session/{id}/run`
    @inline(never) private func run(_ body: [UInt8], in id: String) throws -> Reply {
        guard let session = sessions[id] else { throw ExecdError.unknown("session", id) }
        var run = try SessionRunRequest.decode(body)
        run.cwd = try folder(run.cwd, from: session.folder)
        let record = runner.record(of: run.command)
        let output = ExecutionOutput(record, maxLine: runner.maxLine)
        do throws(ShellSession.UnavailableError) {
            let hasBegun = try session.run(run, record) { event in
                switch event {
                case .output(let stream, let bytes): bytes.withUnsafeBytes { output.take(stream, $0) }
                case .ended: output.end()
                case .took, .refusedInput: break
                }
            }
            if !hasBegun { output.end() }
        } catch {
            switch error {
            case .deleted: throw ExecdError.unknown("session", id)
            case .busy:
                throw ExecdError(
                    .badRequest, "RUNTIME_ERROR",
                    "session \(id) is running a command: wait for its end, or use another session")
            case .gone(let folder):
                throw ExecdError.invalid("the session's folder is gone, name another one in cwd: \(folder)")
            }
        }
        runner.registry.add(record)
        runner.measure(record, as: .session)
        runner.limit(record, milliseconds: run.timeout ?? 0)
        return ExecutionStream.reply(output)
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
}
