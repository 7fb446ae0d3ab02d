import Logging
import NIOHTTP1
import NetworkPolicy
import Runtimes
import SafeText
import Spelling
import Synchronization
import Tracing

extension SandboxService {
    /// Creates a sandbox. When it returns, the sandbox runs and is guarded, or is `Pending` if that takes too long.
    /// After an error nothing is left.
    /// - Parameter owner: the id of the named API key whose sandbox it is.
    func create(_ request: CreateRequest, owner: String? = nil) async throws(APIError) -> Sandbox {
        guard let name = request.poolRef else {
            return try await create(request, as: .cold(id: Sandbox.identifier()), owner, within: patience)
        }
        guard let pools else { throw .notSupported("extensions.poolRef is not supported by this runtime") }
        let begun = ContinuousClock.now
        let request = try pools.complete(request)
        await pools.checkImage(name)
        let taken = try pools.take(
            name,
            mayBeWarm: request.absentVariables.isEmpty
                && ExecdVariables.readAtStart.isDisjoint(with: request.environment.keys))
        defer { pools.left(taken) }
        do throws(APIError) {
            return try await create(request, as: taken, owner, within: patience)
        } catch {
            await forget(taken)
            // What waited may have been damaged since. One that is made at once says whether the request is at fault.
            guard case .warm = taken, error.status == .internalServerError, let cold = pools.reserve(name) else {
                throw error
            }
            do throws(APIError) {
                let left = patience - (ContinuousClock.now - begun)
                return try await create(request, as: cold, owner, within: max(.zero, left))
            } catch {
                await forget(cold)
                throw error
            }
        }
    }

    /// After a create that failed, of which its client knows nothing.
    private func forget(_ taken: WarmPools.Taken) async {
        if case .warm(let id) = taken {
            if catalog[id] != nil {
                _ = try? await stored { () async throws(StoreError) in try await catalog.remove(id) }
            }
            await pools?.destroy(id)
        }
        pools?.note(taken.id, nil)
    }

    /// - Parameter patience: after which the client is answered with `Pending`.
    private func create(
        _ request: CreateRequest, as taken: WarmPools.Taken, _ owner: String?, within patience: Duration
    ) async throws(APIError) -> Sandbox {
        let image = try source(of: request)
        if case .cold = taken {
            do throws(RuntimeError) {
                try await runtime.admit(request.limits)
                try await runtime.admit(request.volumes, for: owner)
            } catch { throw refusal(error) }
        }
        var made = Sandbox(request, image: image, id: taken.id, at: .now())
        made.secretsTag = secretsTag(of: made.id)
        made.owner = owner
        let pending = made
        // What waits ready takes nobody's time.
        if case .cold = taken, !queue.enter(pending.id, of: owner) { throw .queueFull }
        do throws(APIError) {
            switch taken {
            // It is stored when it runs, or when a client hears of it before. Until then the next server would remove it
            // by the runtime's record, as it does what waits.
            case .warm: catalog.note(pending)
            case .cold: try await save(pending)
            }
        } catch {
            queue.leave(pending.id)
            throw error
        }
        let (outcomes, outcome) = AsyncStream<Result<Sandbox, APIError>>.makeStream()
        let race = Race()
        creations.begin(pending.id) { [self] in
            let result = await ActiveSpan.within("create", .internal, [.init("sandbox.id", .text(pending.id))]) {
                await build(taken, request, owner) { race.noteImage() }
            }
            if case .failure(let error) = result {
                // A client that has the id already must be able to see the failure.
                let isKnown = !race.isWon()
                await giveUp(pending.id, isKnown ? error : nil)
            }
            queue.leave(pending.id)
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
        _ taken: WarmPools.Taken, _ request: CreateRequest, _ caller: String?, gotImage: @escaping @Sendable () -> Void
    ) async -> Result<Sandbox, APIError> {
        let id = taken.id
        if case .cold = taken {
            guard await queue.turn(id) else { return .failure(deletedWhileCreated(id)) }
            await tellOfTurn(id)
        }
        let placement: SandboxPlacement
        do throws(RuntimeError) {
            switch taken {
            case .warm:
                gotImage()
                placement = try await runtime.begin(
                    SandboxUse(
                        id: id, entrypoint: request.entrypoint, environment: request.environment,
                        policy: request.effectivePolicy))
            case .cold:
                placement = try await runtime.create(spec(id, request, caller)) { stage in
                    if stage == .imageReady { gotImage() }
                }
            }
        } catch {
            guard catalog[id]?.status.state == .pending else { return .failure(deletedWhileCreated(id)) }
            // The message may contain output of the sandbox.
            logger.warning("creating a sandbox failed", metadata: ["sandbox": "\(id)", "error": "\(error)"])
            return .failure(refusal(error))
        }
        do throws(APIError) {
            let running = try await locks.withLock(id) { () async throws(APIError) in try await run(id, placement) }
            logger.info("sandbox created", metadata: ["sandbox": "\(id)", "image": "\(running.image)"])
            return .success(running)
        } catch {
            // In a separate task, because a deletion may have cancelled this one.
            await Task { try? await destroy(id) }.value
            return .failure(error)
        }
    }

    /// A client that was told that its create waits for others is told that it does no longer.
    private func tellOfTurn(_ id: String) async {
        guard catalog[id]?.status.reason == StatusReason.queued else { return }
        _ = try? await stored { () async throws(StoreError) in
            try await catalog.change(id) { sandbox in
                guard sandbox.status.reason == StatusReason.queued else { return nil }
                return sandbox.moved(to: .pending, reason: StatusReason.pullingImage)
            }
        }
    }

    private func spec(_ id: String, _ request: CreateRequest, _ caller: String?) -> SandboxSpec {
        let ofPool = request.poolEnvironment.filter { !request.absentVariables.contains($0.key) }
        var spec = SandboxSpec(
            id: id, source: request.source, entrypoint: request.entrypoint,
            environment: ofPool.merging(request.environment) { _, asked in asked },
            limits: request.limits, policy: request.effectivePolicy,
            labels: SandboxLabels(request, owner: owner, id: id), execdToken: execdToken(id),
            isolates: request.extensions[Sandbox.isolationExtension] == "enable", caller: caller,
            volumes: request.volumes,
            bucketKeys: request.bucketKeys, ports: request.ports)
        spec.absentVariables = request.absentVariables
        return spec
    }

    /// Stores that a sandbox runs. The caller must hold its lock.
    func run(_ id: String, _ placement: SandboxPlacement) async throws(APIError) -> Sandbox {
        // The client may have been answered with `Pending` meanwhile.
        let running = try await stored { () async throws(StoreError) in
            try await catalog.change(id) { sandbox in
                guard sandbox.status.state == .pending else { return nil }
                var sandbox = sandbox.moved(to: .running, reason: StatusReason.running)
                sandbox.network = SandboxNetwork(placement)
                return sandbox
            }
        }
        guard let running, running.status.state == .running else { throw deletedWhileCreated(id) }
        egress.attach(id, placement.attachment)
        return running
    }

    /// Forgets a sandbox that could not be created, or stores the reason. Does nothing if it is being deleted.
    /// - Parameter error: nil if no client knows the sandbox.
    private func giveUp(_ id: String, _ error: APIError?) async {
        let isKnown = error != nil
        await locks.withLock(id) {
            guard let sandbox = catalog[id], sandbox.status.state == .pending else { return }
            do throws(StoreError) {
                if let error {
                    try await catalog.save(
                        sandbox.moved(to: .failed, reason: StatusReason.createFailed, message: error.message))
                } else {
                    try await catalog.remove(id)
                }
            } catch {
                logger.error(
                    "what a failed create has left could not be removed",
                    metadata: ["sandbox": "\(id)", "error": "\(error)"])
                if !isKnown { catalog.forget(id) }
            }
        }
    }

    /// Records that the client was answered before the sandbox runs, and what it is waiting for. The create continues
    /// and may finish first.
    private func answeredEarly(_ pending: Sandbox, hasImage: Bool) async -> Result<Sandbox, APIError> {
        let isWaiting = queue.isWaiting(pending.id)
        do throws(APIError) {
            let sandbox = try await stored { () async throws(StoreError) in
                try await catalog.change(pending.id) { sandbox in
                    guard sandbox.status.state == .pending else { return nil }
                    return hasImage
                        ? sandbox.moved(to: .pending, reason: StatusReason.starting)
                        : sandbox.moved(
                            to: .pending, reason: isWaiting ? StatusReason.queued : StatusReason.pullingImage)
                }
            }
            return .success(sandbox ?? pending)
        } catch {
            return .failure(error)
        }
    }

    func refusal(_ error: RuntimeError) -> APIError {
        switch error.kind {
        case .request: .parameter("\(error)")
        case .capacity: APIError(.tooManyRequests, "SANDBOX::CAPACITY_EXHAUSTED", "\(error)")
        case .image(let isCallersFault):
            APIError(isCallersFault ? .badRequest : .internalServerError, codes.imagePullFailed, "\(error)")
        case .snapshot: APIError(.conflict, "SNAPSHOT::INVALID_RESTORE_CONFIG", "\(error)")
        case .start(let isCallersFault):
            APIError(
                isCallersFault ? .badRequest : .internalServerError, codes.startFailed, ForeignText.escaped("\(error)"))
        case .volume(let code, let isCallersFault):
            APIError(isCallersFault ? .badRequest : .internalServerError, code, ForeignText.escaped("\(error)"))
        case .guardAway: APIError(.serviceUnavailable, "SANDBOX::GUARD_UNAVAILABLE", "\(error)")
        case .unsupported: .notSupported("\(error)")
        case .other:
            APIError(.internalServerError, "SANDBOX::INTERNAL_ERROR", ForeignText.escaped("\(error)"))
        }
    }

    /// The answer to a create whose sandbox was deleted meanwhile.
    private func deletedWhileCreated(_ id: String) -> APIError {
        APIError(.conflict, codes.startFailed, "Sandbox \(id) was deleted while it was being created")
    }
}

extension APIError {
    /// Every place is taken, of creates that run and of those that wait.
    static let queueFull = APIError(
        .tooManyRequests, "SANDBOX::CAPACITY_EXHAUSTED",
        "too many sandboxes are being created: try again in a moment (server.queued_creates)")
}

extension Sandbox {
    /// - Parameter image: the image below it, for people.
    init(_ request: CreateRequest, image: String, id: String, at now: Timestamp) {
        self.init(
            id: id, image: image, snapshot: request.snapshot, entrypoint: request.entrypoint,
            metadata: request.metadata,
            extensions: request.extensions, platform: request.platform,
            status: SandboxStatus(.pending, reason: StatusReason.creating, since: now), history: [], createdAt: now,
            expiresAt: request.timeout.map { now.adding(seconds: $0) }, secureAccess: request.secureAccess,
            hasPolicy: request.policy != nil, poolRef: request.poolRef)
        limits = request.limits
        history = [status]
    }
}

/// Decides which comes first, the end of the create or the client's time limit.
private final class Race: Sendable {
    private let over = Atomic(false)
    private let image = Atomic(false)

    /// Whether the image is ready, so that only the start is left.
    var hasImage: Bool { image.load(ordering: .acquiring) }
    func noteImage() { image.store(true, ordering: .releasing) }

    /// Returns true to the first caller only.
    func isWon() -> Bool { !over.exchange(true, ordering: .acquiringAndReleasing) }
}
