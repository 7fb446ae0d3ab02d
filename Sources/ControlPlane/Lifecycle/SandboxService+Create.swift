import Egress
import Logging
import Metrics
import NIOHTTP1
import Netfilter
import NetworkPolicy
import Runtimes
import SafeText
import Synchronization

extension SandboxService {
    /// Makes a sandbox. When it returns, the sandbox runs and is guarded; only while a large image is still on its way
    /// it is `Pending`. After an error nothing is left.
    func create(_ request: CreateRequest, images: any ImageSource) async throws(APIError) -> Sandbox {
        do throws(RuntimeError) { try await runtime.admit(request.limits) } catch { throw refusal(error) }
        var made = Sandbox(request, id: Sandbox.identifier(), at: .now())
        made.secretsTag = secretsTag(of: made.id)
        let pending = made
        try await save(pending)
        let (outcomes, outcome) = AsyncStream<Result<Sandbox, APIError>>.makeStream()
        let race = Race()
        Task {
            let result = await build(pending, request, images) { race.noteImage() }
            if case .failure(let error) = result {
                // A client that has the id already is to find out what became of it.
                if race.isWon() { await discard(pending.id) } else { await keepFailure(of: pending.id, error) }
            }
            outcome.yield(result)
        }
        let clock = Task {
            try await Task.sleep(for: patience)
            if race.isWon() { outcome.yield(await answeredEarly(pending, hasImage: race.hasImage)) }
        }
        defer { clock.cancel() }
        for await first in outcomes { return try first.get() }
        return pending
    }

    private func build(
        _ pending: Sandbox, _ request: CreateRequest, _ images: any ImageSource, gotImage: () -> Void
    ) async -> Result<Sandbox, APIError> {
        do throws(APIError) {
            let image = try await images.image(request.image, credentials: request.credentials)
            gotImage()
            return .success(
                try await locks.withLock(pending.id) { () async throws(APIError) in
                    try await start(pending.id, request, image)
                })
        } catch {
            return .failure(error)
        }
    }

    private func start(
        _ id: String, _ request: CreateRequest, _ image: ResolvedImage
    ) async throws(APIError) -> Sandbox {
        guard catalog[id]?.status.state == .pending else { throw .deletedWhileCreated(id) }
        let spec = SandboxSpec(
            id: id, imageRoot: image.root, entrypoint: request.entrypoint,
            environment: image.environment.merging(request.environment) { _, asked in asked },
            workingDirectory: image.workingDirectory, limits: request.limits,
            execdToken: execdToken(id))
        do {
            let prepared = try await CreateStep.prepare.timed { try await runtime.prepare(spec) }
            let namespace = NetworkNamespace(existing: prepared.namespacePath)
            try await CreateStep.protect.timed {
                try await egress.protect(id, namespace: namespace, policy: request.policy ?? .allowAll)
            }
            try await CreateStep.start.timed { try await runtime.start(id) }
            let network = SandboxNetwork(
                namespacePath: prepared.namespacePath, address: "\(prepared.address)",
                addressV6: "\(prepared.addressV6)")
            // Its client may have been told meanwhile that it starts.
            let running = try await stored { () async throws(StoreError) in
                try await catalog.change(id) { sandbox in
                    var sandbox = sandbox.moved(to: .running, reason: StatusReason.running)
                    sandbox.network = network
                    return sandbox
                }
            }
            guard let running else { throw APIError.deletedWhileCreated(id) }
            logger.info("sandbox created", metadata: ["sandbox": "\(id)", "image": "\(request.image)"])
            return running
        } catch {
            try? await destroy(id)
            throw refusal(of: id, error)
        }
    }

    private func discard(_ id: String) async {
        do throws(StoreError) {
            try await catalog.remove(id)
        } catch {
            logger.error("removing a sandbox's record failed", metadata: ["sandbox": "\(id)", "error": "\(error)"])
        }
    }

    /// Notes that a client knows the sandbox although it does not run yet, and what is waited for. The create goes on
    /// meanwhile, and may be through before.
    private func answeredEarly(_ pending: Sandbox, hasImage: Bool) async -> Result<Sandbox, APIError> {
        do throws(APIError) {
            let sandbox = try await stored { () async throws(StoreError) in
                try await catalog.change(pending.id) { sandbox in
                    guard sandbox.status.state == .pending else { return nil }
                    return hasImage
                        ? sandbox.moved(
                            to: .pending, reason: StatusReason.starting, message: "waiting for the sandbox to start")
                        : sandbox.moved(to: .pending, reason: StatusReason.pullingImage)
                }
            }
            return .success(sandbox ?? pending)
        } catch {
            return .failure(error)
        }
    }

    private func keepFailure(of id: String, _ error: APIError) async {
        await locks.withLock(id) {
            guard let sandbox = catalog[id] else { return }
            try? await catalog.save(
                sandbox.moved(to: .failed, reason: StatusReason.createFailed, message: error.message))
        }
    }

    /// What a sandbox printed may be part of the message.
    private func refusal(of id: String, _ error: any Error) -> APIError {
        logger.warning("creating a sandbox failed", metadata: ["sandbox": "\(id)", "error": "\(error)"])
        return refusal(error)
    }

    private func refusal(_ error: any Error) -> APIError {
        switch error {
        case let error as APIError: return error
        case RuntimeError.unenforcedLimit: return .parameter("\(error)")
        case RuntimeError.noAddressLeft, RuntimeError.noIdentifiersLeft, RuntimeError.diskNearlyFull:
            return APIError(.tooManyRequests, "SANDBOX::CAPACITY_EXHAUSTED", "\(error)")
        case RuntimeError.startFailed:
            return APIError(
                .internalServerError, "DOCKER::SANDBOX_START_FAILED", ForeignText.escaped("\(error)"))
        case EgressError.remote:
            return APIError(
                .serviceUnavailable, "SANDBOX::GUARD_UNAVAILABLE",
                "the guard is not there now, and no sandbox is made without it; try again")
        case EgressError.tooManyRules, EgressError.invalidPolicy:
            return .parameter("networkPolicy: \(error)")
        default:
            return APIError(.internalServerError, "SANDBOX::INTERNAL_ERROR", ForeignText.escaped("\(error)"))
        }
    }
}

extension APIError {
    /// What a create says whose sandbox was deleted before it ran.
    fileprivate static func deletedWhileCreated(_ id: String) -> APIError {
        APIError(.conflict, "DOCKER::SANDBOX_START_FAILED", "Sandbox \(id) was deleted while it was being created")
    }
}

/// What a create consists of, each with a timer: `sallyport_create_step_seconds`.
private enum CreateStep: String {
    case prepare, protect, start

    func timed<Result: Sendable>(_ body: () async throws -> Result) async throws -> Result {
        let start = ContinuousClock.now
        defer {
            let (seconds, attoseconds) = (ContinuousClock.now - start).components
            Timer(label: "sallyport_create_step_seconds", dimensions: [("step", rawValue)])
                .recordNanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
        }
        return try await body()
    }
}

extension Sandbox {
    init(_ request: CreateRequest, id: String, at now: Timestamp) {
        self.init(
            id: id, image: request.image, entrypoint: request.entrypoint, metadata: request.metadata,
            extensions: request.extensions, platform: request.platform,
            status: SandboxStatus(.pending, reason: StatusReason.creating, since: now), history: [], createdAt: now,
            expiresAt: request.timeout.map { now.adding(seconds: $0) }, secureAccess: request.secureAccess,
            hasPolicy: request.policy != nil)
        history = [status]
    }
}

/// Decides what comes first, the end of the work or the end of the client's patience.
private final class Race: Sendable {
    private let over = Atomic(false)
    private let image = Atomic(false)

    /// Whether what is left to do is the start.
    var hasImage: Bool { image.load(ordering: .acquiring) }
    func noteImage() { image.store(true, ordering: .releasing) }

    /// True for the first who asks.
    func isWon() -> Bool { !over.exchange(true, ordering: .acquiringAndReleasing) }
}
