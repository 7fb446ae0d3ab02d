import Logging
import NIOHTTP1
import Observability
import Runtimes
import SafeText
import Synchronization
import System

/// The pools of this server, and the sandboxes of them that wait for a use.
///
/// Those that wait are guarded at deny-all, and nothing of their program runs. They are in no list and have no endpoint.
/// They do not outlive their server: another one removes what it finds of them, and makes new ones.
final class WarmPools: Sendable {
    struct State {
        var buffers: [String: PoolBuffer] = [:]
        /// Pools whose sandboxes cannot be made now, and when to try again.
        var failing: [String: (backOff: BackOff, until: ContinuousClock.Instant)] = [:]
        /// Those that could not be removed yet.
        var doomed: Set<String> = []
        /// Those that are being handed out, and until when nothing is made on that account: a client waits, and what is made
        /// takes the processors.
        var leaving: [String: ContinuousClock.Instant] = [:]
        /// The moments at which pools are looked after again, each with something that sleeps until then.
        var pauses: Set<ContinuousClock.Instant> = []
        /// The server ends: nothing is handed out or made any more.
        var isEnding = false
    }

    /// What a request for a sandbox of a pool gets.
    enum Taken: Hashable, Sendable {
        /// One that waited.
        case warm(id: String)
        /// None waited, and there is room: it has to be made under this id.
        case cold(id: String)

        var id: String {
            switch self {
            case .warm(let id), .cold(let id): id
            }
        }
    }

    let runtime: any SandboxRuntime
    let owner: String
    /// The token for a sandbox's execd.
    let execdToken: @Sendable (_ id: String) -> String
    let logger: Logger
    /// How often it is asked whether the images of pools are still those that what waits was made from. It is asked before each
    /// use as well: in between, so that no client has to wait for another one.
    let imageInterval: Duration
    let state = Mutex(State())
    let store: any RecordTable<Pool>
    let changes = KeyedLock()
    let wakes: AsyncStream<Void>
    private let waker: AsyncStream<Void>.Continuation

    /// - Parameter configured: of the configuration; they are not stored.
    init(
        runtime: any SandboxRuntime, store: any RecordTable<Pool>, configured: [Pool] = [], owner: String,
        logger: Logger, imageInterval: Duration = .seconds(5),
        execdToken: @escaping @Sendable (_ id: String) -> String
    ) {
        self.runtime = runtime
        self.store = store
        self.owner = owner
        self.execdToken = execdToken
        self.logger = logger
        self.imageInterval = imageInterval
        (wakes, waker) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        state.withLock { state in
            for pool in configured { state.buffers[pool.name] = PoolBuffer(pool, isConfigured: true) }
        }
    }

    /// Reads the stored pools. One that the configuration has as well is the configuration's.
    func load() async throws(StoreError) {
        for pool in try await store.all() {
            state.withLock { state in
                if state.buffers[pool.name] == nil { state.buffers[pool.name] = PoolBuffer(pool) }
            }
        }
        for name in try await store.unreadable() {
            logger.error(
                "the stored record of a pool cannot be read; it is left as it is, and no sandboxes are made for it",
                metadata: ["pool": "\(ForeignText.escaped(name, limit: 80))"])
        }
        wake()
    }

    func wake() { waker.yield() }

    // MARK: Requests for sandboxes

    /// A request with what its pool gives it; one without a pool as it is.
    /// - Throws: if there is no such pool, or the request wants something else than what it has.
    func complete(_ request: CreateRequest) throws(APIError) -> CreateRequest {
        guard let name = request.poolRef else { return request }
        let template = try buffer(name).pool.template
        var request = request
        guard request.image.isEmpty || request.image == template.image else {
            throw .parameter("image: the sandboxes of pool \(name) are made from \(template.image)")
        }
        guard request.asksForLimits == false || request.limits == template.limits else {
            throw .parameter("resourceLimits: the sandboxes of pool \(name) have other ones; leave them out")
        }
        request.image = template.image
        request.limits = template.limits
        if request.entrypoint.isEmpty { request.entrypoint = template.entrypoint }
        request.poolEnvironment = template.environment
        let environment = template.environment.merging(request.environment) { _, asked in asked }
        if let problem = ProcessTexts.problem(entrypoint: request.entrypoint, environment: environment) {
            throw .parameter(problem)
        }
        return request
    }

    /// - Parameter mayBeWarm: whether one that waited would do.
    /// - Throws: 429 where every sandbox that the pool may have is in use.
    func take(_ name: String, mayBeWarm: Bool = true) throws(APIError) -> Taken {
        defer { wake() }
        let taken: Taken? = try state.withLock { state throws(APIError) in
            guard state.buffers[name] != nil else { throw Self.unknown(name) }
            guard !state.isEnding else { throw Self.ending }
            if mayBeWarm, let id = state.buffers[name]?.take() {
                state.leaving[id] = .now + Self.maxLeaving
                return .warm(id: id)
            }
            return Self.reserve(name, &state)
        }
        guard let taken else {
            throw APIError(
                .tooManyRequests, "KUBERNETES::POOL_CAPACITY_EXHAUSTED",
                "every sandbox that pool \(name.prefix(80)) may have is in use: delete some, or raise its poolMax")
        }
        return taken
    }

    /// One that waited has been handed out, or could not be.
    func left(_ taken: Taken) {
        guard case .warm(let id) = taken else { return }
        state.withLock { _ = $0.leaving.removeValue(forKey: id) }
        wake()
    }

    /// One that hangs holds up nobody's pool.
    private static let maxLeaving = Duration.milliseconds(100)

    /// Room for one that is made at once; nil where there is none.
    func reserve(_ name: String) -> Taken? { state.withLock { Self.reserve(name, &$0) } }

    private static func reserve(_ name: String, _ state: inout State) -> Taken? {
        let id = Sandbox.identifier()
        guard state.buffers[name]?.reserve(id) == true else { return nil }
        return .cold(id: id)
    }

    /// Notes every change of a sandbox.
    func note(_ id: String, _ sandbox: Sandbox?) {
        let isInUse = sandbox.map { ![.terminated, .failed].contains($0.status.state) } ?? false
        let changed = state.withLock { state in
            if let name = sandbox?.poolRef {
                state.buffers[name]?.use(id, isInUse: isInUse)
                return !isInUse
            }
            guard sandbox == nil else { return false }
            for name in state.buffers.keys where state.buffers[name]!.allocated.contains(id) {
                state.buffers[name]!.use(id, isInUse: false)
                return true
            }
            return false
        }
        if changed { wake() }
    }

    /// Notes that a sandbox has ended by itself.
    func ended(_ id: String) async {
        let wasWaiting = state.withLock { state in
            state.buffers.keys.contains { state.buffers[$0]!.lost(id) }
        }
        guard wasWaiting else { return }
        logger.warning("a sandbox of a pool has ended before its use", metadata: ["sandbox": "\(id)"])
        await destroy(id)
        wake()
    }

    // MARK: Pools and removals

    var all: [PoolBuffer] { state.withLock { $0.buffers.values.sorted { $0.pool.name < $1.pool.name } } }

    func buffer(_ name: String) throws(APIError) -> PoolBuffer {
        guard let buffer = state.withLock({ $0.buffers[name] }) else { throw Self.unknown(name) }
        return buffer
    }

    private static func unknown(_ name: String) -> APIError {
        APIError(.notFound, "KUBERNETES::POOL_NOT_FOUND", "Pool \(name.prefix(80)) not found")
    }

    /// All at once, since each waits for the kernel.
    func destroy(_ ids: [String]) async {
        await withDiscardingTaskGroup { group in for id in ids { group.addTask { await self.destroy(id) } } }
    }

    /// Removes one; where that fails, again and again in the background.
    func destroy(_ id: String) async {
        // In a separate task, because this one may have been cancelled.
        guard await !Task(operation: { await self.isRemoved(id) }).value else { return }
        guard state.withLock({ $0.doomed.insert(id).inserted }) else { return }
        Task { [weak self] in
            var backOff = BackOff.removals
            repeat {
                try? await Task.sleep(for: .milliseconds(Int64(backOff.next())))
                guard let self else { return }
                guard await self.isRemoved(id) else { continue }
                self.state.withLock { _ = $0.doomed.remove(id) }
                return
            } while true
        }
    }

    private func isRemoved(_ id: String) async -> Bool {
        do throws(RuntimeError) {
            try await runtime.delete(id)
            return true
        } catch {
            logger.error("removing a sandbox of a pool failed", metadata: ["sandbox": "\(id)", "error": "\(error)"])
            return false
        }
    }
}

extension WarmPools {
    /// `sallyport_pool_sandboxes` by pool and state, and how many could not be removed yet.
    var samples: [MetricsRegistry.Sample] {
        all.flatMap { buffer in
            [
                ("waiting", buffer.available.count), ("making", buffer.making.count),
                ("used", buffer.allocated.count),
            ].map { state, count in
                .init(
                    "sallyport_pool_sandboxes", .gauge, Double(count),
                    [.init("pool", buffer.pool.name), .init("state", state)])
            }
        } + [.init("sallyport_pool_removals_failing", .gauge, Double(state.withLock { $0.doomed.count }))]
    }
}
