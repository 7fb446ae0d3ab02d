import NIOHTTP1
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The isolated sessions of this execd.
final class IsolatedSessions: Sendable {
    /// Each has two processes.
    static let maxSessions = 256
    /// Milliseconds for which it can be asked how a session was that has ended by itself.
    private static let memory: Int64 = 60_000
    /// How often is looked for sessions that go.
    private static let collection = Duration.seconds(5)

    private struct State {
        var sessions: [String: IsolatedSession] = [:]
        /// Sessions that are being built.
        var reserved = 0
        var isCollecting = false
        var support: IsolationSupport?
    }

    private let environment: CommandEnvironment
    let settings: IsolationSettings
    let meter = ChangeMeter()
    private let makeHost: @Sendable () -> SessionHost?
    private let state = Mutex(State())
    private let madeHost = Mutex<SessionHost?>(nil)

    /// - Parameter makeHost: who builds sessions, nil where nobody can; asked for when it is needed.
    init(
        environment: CommandEnvironment, settings: IsolationSettings = IsolationSettings(),
        makeHost: @escaping @Sendable () -> SessionHost?
    ) {
        (self.environment, self.settings, self.makeHost) = (environment, settings, makeHost)
    }

    /// nil where no session can be built.
    var host: SessionHost? {
        madeHost.withLock { made in
            made = made ?? makeHost()
            return made
        }
    }

    /// What can be done here. Tried at the first question, and again until something works.
    func support() async throws -> IsolationSupport {
        guard let host else {
            return .none("execd may not make namespaces here")
        }
        if let known = state.withLock({ $0.support }) { return known }
        let found = try await SpawnThreads.build { IsolationSupport.probe(host) }
        if found.isAvailable { state.withLock { $0.support = found } }
        return found
    }

    subscript(id: String) -> IsolatedSession? { state.withLock { $0.sessions[id] } }

    var all: [IsolatedSession] {
        state.withLock { Array($0.sessions.values) }.sorted { ($0.createdAt, $0.id) < ($1.createdAt, $1.id) }
    }

    // MARK: Making

    func create(_ request: IsolationRequest) async throws -> IsolatedSession {
        guard let host else { throw IsolationAPI.unavailable(try await support()) }
        guard reserve() else {
            throw ExecdError(
                .serviceUnavailable, "SERVICE_UNAVAILABLE", "there are \(Self.maxSessions) sessions already: delete one"
            )
        }
        defer { state.withLock { $0.reserved -= 1 } }
        try await checkRoom()
        let environment = self.environment, allowed = settings.allowedWritable
        let session = try await SpawnThreads.build {
            let request = try Self.resolved(request)
            let plan = Self.plan(request, environment, allowed)
            let session = IsolatedSession(
                id: Identifier.uuid(), request: request, plan: plan, host: host, environment: environment)
            let made = try Self.makeFolders(request)
            do {
                try session.open(on: host)
            } catch {
                for folders in made.reversed() { FolderChanges.discard(folders) }
                throw error
            }
            return session
        }
        let begins = state.withLock { state in
            state.sessions[session.id] = session
            defer { state.isCollecting = true }
            return !state.isCollecting
        }
        if begins { Task { await collect() } }
        return session
    }

    private func reserve() -> Bool {
        state.withLock { state in
            guard state.sessions.count + state.reserved < Self.maxSessions else { return false }
            state.reserved += 1
            return true
        }
    }

    /// With what `extra_writable` really names.
    private static func resolved(_ request: IsolationRequest) throws -> IsolationRequest {
        var request = request
        request.extraWritable = try request.extraWritable.map { path in
            guard let real = realpath(path, nil) else {
                throw ExecdError(.badRequest, "RUNTIME_ERROR", "extra_writable: \(path) must be an existing path")
            }
            defer { free(real) }
            return String(cString: real)
        }
        return request
    }

    /// - Returns: for each that was missing what was made.
    private static func makeFolders(_ request: IsolationRequest) throws -> [[String]] {
        var all: [[String]] = []
        do {
            for overlay in request.ordered {
                let isGiven = request.userMode == .setpriv
                all.append(
                    try FolderChanges.createWithoutLinks(
                        overlay.path, owner: isGiven ? request.user : nil, group: isGiven ? request.group : nil))
            }
        } catch {
            for made in all.reversed() { FolderChanges.discard(made) }
            throw error
        }
        return all
    }

    private static func plan(
        _ request: IsolationRequest, _ environment: CommandEnvironment, _ allowedSources: [String]
    ) -> SessionPlan {
        let isBash = environment.shell.hasSuffix("/bash")
        let variables = SessionVariables.of(environment.current(), request.passthrough)
        let group = GroupUse { File.text("/sys/fs/cgroup/" + $0) }
        let quarter = Int64(clamping: (group.memoryLimit ?? 1 << 40) / 4)
        return SessionPlan(
            folder: CommandRunner.identifier(),
            mounts: request.ordered.map { overlay in
                let kind: SessionPlan.Mount.Kind =
                    switch overlay.mode {
                    case .overlay: overlay.persist == false ? .memory : .layer
                    case .rw: .writable
                    case .ro: .readOnly
                    }
                return SessionPlan.Mount(path: overlay.path, kind: kind)
            },
            bindings: request.extraWritable.map { .init(source: $0, target: $0, isReadOnly: false) }
                + request.binds.map { .init(source: $0.source, target: $0.dest, isReadOnly: $0.readonly) },
            allowedSources: allowedSources, hasOwnTemporaryFolder: request.profile == .strict,
            sharesNetwork: request.sharesNetwork, user: request.user, group: request.group,
            hasOwnUsers: request.userMode == .userns,
            // In memory for as long as the session lives, whatever it ends: no more than a part of what there is.
            memoryBytes: min(256 << 20, max(16 << 20, quarter)),
            // With a socket as its input bash would take itself for a remote shell and read ~/.bashrc.
            shell: [environment.shell] + (isBash ? ["--norc", "--noprofile"] : []),
            environment: variables.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }, directory: request.folder
        )
    }

    // MARK: Ending

    /// Ends a session and removes what it has changed.
    /// - Returns: false if there is none.
    /// - Throws: while something is left; then it is still there, and can be deleted again.
    func delete(_ id: String) async throws -> Bool {
        guard let session = self[id], let host else { return false }
        guard await session.destroy() else {
            throw ExecdError.failed("the processes of session \(id) do not end: delete it again")
        }
        do {
            try await FileWork()({ try host.remove(session.plan.folder) })
        } catch {
            throw ExecdError(
                .serviceUnavailable, "SERVICE_UNAVAILABLE",
                "what session \(id) has changed is not removed: \(error). Delete it again")
        }
        state.withLock { $0.sessions[id] = nil }
        meter.forget()
        return true
    }

    private func collect() async {
        while true {
            try? await Task.sleep(for: Self.collection)
            for session in all where isOver(session) { _ = try? await delete(session.id) }
            let goesOn = state.withLock { state in
                state.isCollecting = !state.sessions.isEmpty
                return state.isCollecting
            }
            guard goesOn else { return }
        }
    }

    private func isOver(_ session: IsolatedSession) -> Bool {
        if let deadTime = session.deadTime { return deadTime > Self.memory }
        return session.idleRemaining == 0
    }
}
