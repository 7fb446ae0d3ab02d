import HTTPServer
import NIOCore
import NIOHTTP1
import System

/// The routes below `/v1/isolated` (docs/wire.md#isolated-sessions).
struct IsolationAPI: Sendable {
    let sessions: IsolatedSessions
    let runner: CommandRunner
    let home: String
    let group: any EventLoopGroup

    private static let path = "/v1/isolated/session/{session_id}"

    func add(to http: inout HTTPAPI) {
        http.on(.GET, "/v1/isolated/capabilities") { _ in
            .json(.ok, IsolationCapabilities(try await sessions.support(), sessions.host))
        }
        http.on(.POST, "/v1/isolated/session") { try await create($0) }
        http.on(.GET, "/v1/isolated/sessions") { _ in
            _ = try await host()
            return .json(.ok, SessionList(sessions: sessions.all.map(SessionSummary.init)))
        }
        http.on(.GET, Self.path) { .json(.ok, SessionState(try await session($0))) }
        http.on(.DELETE, Self.path) { request in
            _ = try await host()
            let id = request.parameters["session_id"] ?? ""
            guard try await sessions.delete(id) else { throw Self.unknown("session", id) }
            return .empty(.ok)
        }
        http.on(.POST, Self.path + "/run") { try await run($0) }
        http.on(.GET, Self.path + "/runs/{run_id}") { try await status($0) }
        http.on(.GET, Self.path + "/runs/{run_id}/logs") { try await logs($0) }
        addLayers(to: &http)
        FilesAPI.add(to: &http, prefix: Self.path) { request in
            let session = try await living(request)
            switch request.method {
            case .GET, .HEAD, .DELETE: break
            default:
                let length = request.headers.first(name: "content-length").flatMap { Int64($0) }
                try await sessions.checkRoom(adding: length ?? 0)
            }
            return try await files(of: session)
        } afterwards: { request in
            // Not before: a measure that is at work then may have seen what is removed.
            if request.method == .DELETE { sessions.meter.forget() }
        }
    }

    // MARK: Who is meant

    static func unavailable(_ support: IsolationSupport) -> ExecdError {
        ExecdError(.serviceUnavailable, "SERVICE_UNAVAILABLE", "isolation unavailable: \(support.message ?? "")")
    }

    static func unknown(_ what: String, _ id: String) -> ExecdError {
        ExecdError(.notFound, "SESSION_NOT_FOUND", "no \(what) \(id.prefix(80)) is known")
    }

    private func host() async throws -> SessionHost {
        guard let host = sessions.host else { throw Self.unavailable(try await sessions.support()) }
        return host
    }

    private func session(_ request: HTTPRequest) async throws -> IsolatedSession {
        _ = try await host()
        let id = request.parameters["session_id"] ?? ""
        guard let session = sessions[id] else { throw Self.unknown("session", id) }
        return session
    }

    /// One that can still do something.
    func living(_ request: HTTPRequest) async throws -> IsolatedSession {
        let session = try await session(request)
        guard session.status == .active else {
            throw ExecdError(.notFound, "SESSION_NOT_FOUND", "isolated session \(session.id) is not active")
        }
        return session
    }

    private func backgroundRun(_ request: HTTPRequest) async throws -> (IsolatedSession, BackgroundRun) {
        let session = try await session(request), id = request.parameters["run_id"] ?? ""
        guard let run = session.backgroundRun(id) else { throw Self.unknown("run", id) }
        return (session, run)
    }

    // MARK: Sessions

    /// `POST /v1/isolated/session`
    private func create(_ request: HTTPRequest) async throws -> Reply {
        _ = try await host()
        let wanted = try IsolationRequest.decode(try await request.wholeBody())
        do {
            return .json(.created, CreatedSession(try await sessions.create(wanted)))
        } catch let failure as SessionFailure {
            // What is wrong with the caller's own folders is told as it is; else it may be that nothing works here.
            guard failure.kind != .refused else { throw ExecdError(.badRequest, "RUNTIME_ERROR", failure.reason) }
            let support = try await sessions.support()
            guard support.isAvailable else { throw Self.unavailable(support) }
            throw failure.kind == .unsupported
                ? ExecdError(.serviceUnavailable, "NOT_SUPPORTED", failure.reason) : ExecdError.failed(failure.reason)
        } catch let error as FileError {
            throw ExecdError(.badRequest, "RUNTIME_ERROR", "\(error)")
        }
    }

    private func files(of session: IsolatedSession) async throws -> FilesAPI {
        guard let root = session.root else { throw Self.unknown("session", session.id) }
        let bounds = SessionBounds(root: root, folders: session.request.mounts)
        var expansion = PathExpansion(home: home, base: session.request.folder)
        expansion.bounds = bounds
        return FilesAPI(work: FileWork(identity: session.identity, root: root), expansion: expansion, group: group)
    }

    // MARK: Runs

    /// `POST …/run`
    private func run(_ request: HTTPRequest) async throws -> Reply {
        let body = try await request.wholeBody()
        let session = try await living(request)
        let wanted = try IsolatedRunRequest.decode(body)
        if wanted.background == true { return try await startInBackground(wanted, session) }
        return IsolatedStream.reply(wanted, try Self.enter(session), in: session, runner)
    }

    static func enter(_ session: IsolatedSession) throws(ExecdError) -> RunTurns.Turn {
        do throws(RunQueue.Refusal) { return try session.enter() } catch {
            guard error == .full else { throw unknown("session", session.id) }
            throw ExecdError(
                .serviceUnavailable, "SERVICE_UNAVAILABLE",
                "\(RunQueue.maxWaiting) runs of session \(session.id) wait already")
        }
    }

    private func startInBackground(_ wanted: IsolatedRunRequest, _ session: IsolatedSession) async throws -> Reply {
        let first = session.request.overlays[0]
        guard first.mode != .ro, first.persist != false else {
            throw ExecdError.invalid(
                "a run in the background needs a first folder that can be written and stays; \(first.path) is "
                    + (first.mode == .ro ? "ro" : "in memory"))
        }
        let run = BackgroundRun(id: Identifier.uuid(), in: first.path, at: CommandRunner.now())
        let work = FileWork(identity: session.identity, root: session.root)
        do {
            try await work { try BackgroundLog.make(run) }
        } catch {
            throw ExecdError.invalid("\(first.path) cannot be written by the session's user: \(error)")
        }
        guard session.add(run) else {
            throw ExecdError.failed("session \(session.id) has had \(BackgroundRun.maxRuns) runs in the background")
        }
        let turn: RunTurns.Turn
        do { turn = try Self.enter(session) } catch {
            session.forget(run)
            throw error
        }
        Task {
            let record = runner.record(of: wanted.code)
            if await turn.comes, let events = session.begin(run, wanted, record, turn) {
                for await case .output(_, let bytes) in events { record.consumed(bytes.count) }
            } else {
                session.terminate(run)
            }
            session.leave(turn)
        }
        return .json(
            .accepted, StartedRun(session_id: session.id, run_id: run.id, started_at: IsolationTime.text(run.startedAt))
        )
    }

    /// `GET …/runs/{run}`
    private func status(_ request: HTTPRequest) async throws -> Reply {
        let (session, run) = try await backgroundRun(request)
        return .json(.ok, RunStatus(run, of: session))
    }

    /// `GET …/runs/{run}/logs?cursor=`
    private func logs(_ request: HTTPRequest) async throws -> Reply {
        let text = request.query("cursor") ?? ""
        guard let cursor = text.isEmpty ? 0 : Int(text), cursor >= 0 else {
            throw ExecdError.invalid("cursor is not a byte offset")
        }
        let (session, run) = try await backgroundRun(request)
        guard let root = session.root else { throw Self.unknown("session", session.id) }
        let work = FileWork(identity: session.identity, root: root)
        let (bytes, end) = try await work { try BackgroundLog.read(run, from: cursor) }
        return Reply(
            .ok, headers: ["content-type": "text/plain; charset=utf-8", "EXECD-ISOLATED-TAIL-CURSOR": String(end)],
            body: .bytes(bytes))
    }
}
