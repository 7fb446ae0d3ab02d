import HTTPServer
import NIOHTTP1
import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The routes below `/pty` (docs/execd.md#terminals).
struct TerminalAPI: Sendable {
    let runner: CommandRunner
    let expansion: PathExpansion
    let terminals = TerminalRegistry()
    private let memory = ByteBudget(OutputRing.maxBytesOfAll)

    init(runner: CommandRunner, expansion: PathExpansion) {
        self.runner = runner
        self.expansion = expansion
    }

    func add(to http: inout HTTPAPI) {
        http.on(.POST, "/pty") { try await create($0) }
        http.on(.GET, "/pty") { _ in
            .json(.ok, terminals.all.map(\.status).sorted { $0.session_id < $1.session_id })
        }
        http.on(.GET, "/pty/{id}") { .json(.ok, try terminal($0).status) }
        http.on(.DELETE, "/pty/{id}") { request in
            let id = request.parameters["id"] ?? ""
            guard let terminal = terminals.remove(id) else { throw ExecdError.unknown("terminal", id) }
            await terminal.delete()
            return .empty(.ok)
        }
        http.on(.GET, "/pty/{id}/ws") { try connect($0) }
    }

    private struct Created: Encodable {
        var session_id: String
    }

    /// `POST /pty`
    private func create(_ request: HTTPRequest) async throws -> Reply {
        let wanted = try TerminalRequest.decode(try await request.wholeBody())
        let folder = try await FileWork()({ try makeFolder(wanted) })
        let terminal = Terminal(
            id: Identifier.uuid(), wanted, folder: folder, runner: runner, memory: memory)
        guard terminals.add(terminal) else {
            throw ExecdError(
                .serviceUnavailable, "SERVICE_UNAVAILABLE",
                "there are \(TerminalRegistry.maxTerminals) terminals already: delete one")
        }
        return .json(.created, Created(session_id: terminal.id))
    }

    /// The folder of a terminal's shells, made where it is missing.
    private func makeFolder(_ wanted: TerminalRequest) throws -> String? {
        guard let cwd = wanted.cwd, !cwd.isEmpty else { return nil }
        let variables = runner.environment.current(with: wanted.envs)
        do throws(FileError) {
            let folder = try expansion(VariableReferences.expand(cwd, variables))
            let made = try FolderChanges.create(folder)
            try FolderChanges.give(made, owner: wanted.uid, group: wanted.gid ?? wanted.uid)
            return folder
        } catch {
            throw ExecdError.failed("cwd: \(error)")
        }
    }

    /// `GET /pty/{id}/ws`
    private func connect(_ request: HTTPRequest) throws -> Reply {
        let terminal = try terminal(request)
        let query = TerminalQuery { request.query($0) }
        do throws(TerminalRefusal) { try terminal.check(query) } catch { throw ExecdError(error, terminal.id) }
        do throws(WebSocketHandshakeError) {
            // A page of any origin may connect where there is a token: no browser sends that by itself. Where there is
            // none, pages have been refused by now.
            return try .webSocket(request, origins: .any) { socket in
                try await TerminalConnection(terminal: terminal, query: query, socket: socket).serve()
            }
        } catch {
            // A request that cannot become a connection takes nothing over.
            guard query.role == .holder, terminal.isHeld else { throw error }
            throw ExecdError(TerminalRefusal.held, terminal.id)
        }
    }

    private func terminal(_ request: HTTPRequest) throws(ExecdError) -> Terminal {
        let id = request.parameters["id"] ?? ""
        guard let terminal = terminals[id] else { throw .unknown("terminal", id) }
        return terminal
    }
}

extension ExecdError {
    init(_ refusal: TerminalRefusal, _ id: String) {
        self =
            switch refusal {
            case .held:
                ExecdError(
                    .conflict, "ALREADY_CONNECTED",
                    "a client has terminal \(id): connect with takeover=1 to take its place")
            case .notRunning:
                ExecdError(.conflict, "VIEWER_REQUIRES_RUNNING_SESSION", "no shell runs in terminal \(id)")
            case .deleted: .unknown("terminal", id)
            }
    }
}
