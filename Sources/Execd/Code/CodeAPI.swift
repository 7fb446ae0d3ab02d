import HTTPServer
import NIOHTTP1

/// The routes below `/code` (docs/wire.md#code).
struct CodeAPI: Sendable {
    let contexts: CodeContexts
    let runner: CommandRunner
    let expansion: PathExpansion
    /// Ends what else has the id that an interrupt names: a command, or a session.
    let interruptsOther: @Sendable (String) async throws -> Bool

    func add(to http: inout HTTPAPI) {
        http.on(.POST, "/code") { try await run($0) }
        http.on(.DELETE, "/code") { try await interrupt($0) }
        http.on(.POST, "/code/context") { try await create($0) }
        http.on(.GET, "/code/contexts") { try list($0) }
        http.on(.DELETE, "/code/contexts") { try await deleteAll($0) }
        http.on(.GET, "/code/contexts/{id}") { .json(.ok, Description(try context($0.parameters["id"] ?? ""))) }
        http.on(.DELETE, "/code/contexts/{id}") { request in
            let id = request.parameters["id"] ?? ""
            guard await contexts.delete(id) else { throw ExecdError.unknown("context", id) }
            return .empty(.ok)
        }
    }

    /// A context as clients read it.
    private struct Description: Encodable {
        var id: String
        var language: String
        var cwd: String?

        init(_ context: CodeContext) {
            id = context.id
            language = context.languageName
            cwd = context.folder
        }
    }

    /// `POST /code/context`
    private func create(_ request: HTTPRequest) async throws -> Reply {
        let body = try CodeContextRequest.decode(try await request.wholeBody())
        let name = body.language.flatMap { $0.isEmpty ? nil : $0 } ?? KernelLanguage.python.rawValue
        let language = try Self.language(name)
        return .json(.ok, Description(try await contexts.create(language, named: name, folder: try folder(body.cwd))))
    }

    /// `GET /code/contexts?language=`
    private func list(_ request: HTTPRequest) throws -> Reply {
        let name = request.query("language") ?? ""
        return .json(.ok, contexts.all(of: name.isEmpty ? nil : try Self.language(name)).map(Description.init))
    }

    /// `DELETE /code/contexts?language=`
    private func deleteAll(_ request: HTTPRequest) async throws -> Reply {
        guard let name = request.query("language"), !name.isEmpty else {
            throw ExecdError(.badRequest, "MISSING_QUERY", "language is required")
        }
        for context in contexts.all(of: try Self.language(name)) { _ = await contexts.delete(context.id) }
        return .empty(.ok)
    }

    /// `POST /code`
    private func run(_ request: HTTPRequest) async throws -> Reply {
        let body = try RunCodeRequest.decode(try await request.wholeBody())
        let name = body.context?.language ?? ""
        let context: CodeContext
        if let id = body.context?.id {
            context = try self.context(id, .badRequest)
        } else {
            switch CodeLanguage(name) {
            case nil: throw Self.unknownLanguage(name)
            case .command: return try await command(body.code, inBackground: false)
            case .backgroundCommand: return try await command(body.code, inBackground: true)
            case .kernel(let language):
                context = try await contexts.standard(language, folder: try folder(body.context?.cwd))
            }
        }
        do {
            return CodeStream.reply(
                body.code, try context.enter(), in: context, maxLine: runner.maxLine, runner.meter)
        } catch {
            guard error == .full else { throw ExecdError.unknown("context", context.id) }
            throw ExecdError(
                .badRequest, "RUNTIME_ERROR",
                "\(RunQueue.maxWaiting) runs wait for context \(context.id) already: wait, or use another context")
        }
    }

    /// A shell run without a context, as a command.
    private func command(_ code: String, inBackground: Bool) async throws -> Reply {
        guard !code.utf8.contains(0) else { throw RequestBodyError("a NUL byte cannot be passed to a process") }
        return try await SpawnThreads.run {
            let command = CommandRequest(command: code, background: inBackground)
            return inBackground
                ? ExecutionStream.background(runner.start(command).record)
                : ExecutionStream.reply(runner.stream(command))
        }
    }

    /// `DELETE /code?id=`
    private func interrupt(_ request: HTTPRequest) async throws -> Reply {
        guard let id = request.query("id"), !id.isEmpty else {
            throw ExecdError(.badRequest, "MISSING_QUERY", "id is required")
        }
        if let context = contexts[id] {
            context.interrupt()
        } else if try await !interruptsOther(id) {
            throw ExecdError.failed("no context, command or session \(id) is there to be interrupted")
        }
        return .empty(.ok)
    }

    private func context(_ id: String, _ status: HTTPResponseStatus = .notFound) throws(ExecdError) -> CodeContext {
        guard let context = contexts[id] else {
            throw ExecdError(status, "CONTEXT_NOT_FOUND", "no context \(id.prefix(80)) is known")
        }
        return context
    }

    private static func language(_ name: String) throws(ExecdError) -> KernelLanguage {
        guard let language = KernelLanguage(name: name) else { throw unknownLanguage(name) }
        return language
    }

    private static func unknownLanguage(_ name: String) -> ExecdError {
        let known = KernelLanguage.allCases.map(\.rawValue).joined(separator: ", ")
        return .invalid("language: \"\(name.prefix(80))\" is not one of \(known)")
    }

    /// A folder for a kernel, made where it is missing.
    private func folder(_ path: String?) throws(RequestBodyError) -> String? {
        guard let path, !path.isEmpty else { return nil }
        do throws(FileError) {
            let folder = try expansion(path)
            if !FileStatus.isFolder(folder) { _ = try FolderChanges.create(folder) }
            return folder
        } catch {
            throw RequestBodyError("cwd: \(error)")
        }
    }
}
