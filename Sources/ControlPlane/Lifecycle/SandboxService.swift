import Egress
import Logging
import NIOHTTP1
import Runtimes
import SafeText
import Synchronization
import System

/// Manages sandboxes: checks requests against their state, has runtime and guard perform them, and stores the result
/// before it is acknowledged. Changes of one sandbox are serialised.
final class SandboxService: Sendable {
    let runtime: any SandboxRuntime
    /// The guards of all sandboxes.
    let egress: SandboxGuards
    let catalog: Catalog<Sandbox>
    let snapshots: Catalog<Snapshot>
    /// nil where there are none.
    let pools: WarmPools?
    let locks = KeyedLock()
    let creations = Creations()
    let pulls = ImagePulls()
    private let deletions = Deletions()
    /// Creates that run, and those that wait for them.
    let queue: CreateQueue
    /// The snapshots that are being taken, by the id of their sandbox.
    let captures = Creations()
    /// Serialises changes of one snapshot.
    let snapshotLocks = KeyedLock()
    /// The label of this server's sandboxes.
    let owner: String
    let logger: Logger
    let expiry: ExpiryTimer
    /// Retries of failed deletions.
    private let retries = Mutex<[String: BackOff]>([:])
    /// The token for a sandbox's execd.
    let execdToken: @Sendable (_ id: String) -> String
    /// How long a create may take before its client is answered with `Pending`. Clients give up after 30 seconds and
    /// would never know the id (docs/wire.md#create).
    let patience: Duration
    /// Seconds that a sandbox which could not be made stays, so that its client sees why.
    let failuresKept: Int

    init(
        runtime: any SandboxRuntime, egress: SandboxGuards, store: any ServerStore, owner: String, logger: Logger,
        patience: Duration = .seconds(20), pools: WarmPools? = nil, creates: CreateLimits = CreateLimits(),
        failuresKept: Int = 3600,
        execdToken: @escaping @Sendable (_ id: String) -> String,
        observer: @escaping @Sendable (_ id: String, _ sandbox: Sandbox?) -> Void
    ) {
        self.runtime = runtime
        self.egress = egress
        self.owner = owner
        self.logger = logger
        self.execdToken = execdToken
        self.patience = patience
        self.pools = pools
        self.failuresKept = failuresKept
        queue = CreateQueue(creates)
        let timer = ExpiryTimer()
        expiry = timer
        snapshots = Catalog(store: store.snapshots)
        catalog = Catalog(store: store.sandboxes) { id, sandbox in
            timer.set(id, sandbox?.removal(failuresKept: failuresKept))
            pools?.note(id, sandbox)
            observer(id, sandbox)
        }
    }

    var codes: RuntimeCodes { runtime.codes }

    func unknownSandbox(_ id: String) -> APIError { .unknownSandbox(id, codes) }

    /// The sandbox, unless it is being deleted; then it can only be deleted again.
    func sandbox(_ id: String) throws(APIError) -> Sandbox {
        guard let sandbox = catalog[id], sandbox.status.state != .stopping else { throw unknownSandbox(id) }
        return sandbox
    }

    /// The ids of those that a pool of this name has in use.
    func sandboxes(ofPool name: String) -> [String] {
        catalog.all.filter { $0.poolRef == name && ![.terminated, .failed].contains($0.status.state) }.map(\.id)
    }

    // MARK: Changes

    /// How long a deletion is waited for. Storage that does not answer may hold it up for any time.
    static let deletePatience = Duration.seconds(15)

    /// Ends a sandbox and removes everything of it. A create in progress is cancelled first. Failures are retried with
    /// growing delays until it succeeds.
    /// - Throws: if it fails, and if it takes longer than `patience`: then it goes on.
    func delete(_ id: String, within patience: Duration = deletePatience) async throws(APIError) {
        guard catalog[id] != nil else { throw unknownSandbox(id) }
        // A snapshot that is being taken has its own time, in which the deletion has not begun.
        let patience = captures.isAtWork(id) ? patience + Self.capturePatience : patience
        let (isFirst, outcome) = await deletions.run(id, within: patience) { [self] () throws(APIError) in
            try await carryOut(id)
        }
        guard let outcome else { throw goesOn(id) }
        try outcome.get()
        // Another request has deleted it.
        guard isFirst else { throw unknownSandbox(id) }
    }

    private func goesOn(_ id: String) -> APIError {
        APIError(
            .internalServerError, codes.deleteFailed,
            "deleting sandbox \(id) takes long: its storage may not answer. The deletion goes on")
    }

    private func carryOut(_ id: String) async throws(APIError) {
        try await locks.withLock(id) { () async throws(APIError) in
            guard let sandbox = catalog[id] else { throw unknownSandbox(id) }
            guard sandbox.status.state != .stopping else { return }
            await keep(sandbox.moved(to: .stopping, reason: StatusReason.deleteRequested))
        }
        // Without the lock, which its create takes at its end.
        await creations.callOff(id)
        // A snapshot that was promised is worth a moment, in which nothing of the sandbox runs.
        await captures.callOff(id, after: Self.capturePatience)
        try await locks.withLock(id) { () async throws(APIError) in
            guard catalog[id] != nil else { throw unknownSandbox(id) }
            do throws(APIError) {
                try await destroy(id)
                try await stored { () async throws(StoreError) in try await catalog.remove(id) }
            } catch {
                await tryAgain(id, after: error)
                throw error
            }
            retries.withLock { $0[id] = nil }
        }
        logger.info("sandbox deleted", metadata: ["sandbox": "\(id)"])
    }

    /// Stores a step of a deletion, so that a restarted server continues it. If the store fails, as on a full disk, the
    /// deletion goes on regardless; otherwise nobody could free space.
    private func keep(_ sandbox: Sandbox) async {
        do throws(StoreError) {
            try await catalog.save(sandbox)
        } catch {
            logger.error("the store could not be written", metadata: ["sandbox": "\(sandbox.id)", "error": "\(error)"])
            catalog.note(sandbox)
        }
    }

    /// Records a failed deletion in the sandbox's status, and sets the time of the next attempt.
    private func tryAgain(_ id: String, after error: APIError) async {
        let (pause, failures) = retries.withLock { retries in
            (Int(retries[id, default: .removals].next() / 1000), retries[id]!.failures)
        }
        if var sandbox = catalog[id] {
            sandbox.status.message =
                "attempt \(failures) to delete it failed: \(error.message); the next one follows after \(pause) s"
            await keep(sandbox)
        }
        expiry.set(id, .now().adding(seconds: pause))
    }

    /// - Returns: the new end, which may be earlier than the old one.
    func renew(_ id: String, until end: Timestamp) async throws(APIError) -> Timestamp {
        try await locks.withLock(id) { () async throws(APIError) in
            var sandbox = try sandbox(id)
            guard ![.terminated, .failed].contains(sandbox.status.state) else {
                throw APIError(
                    .conflict, codes.notRunning,
                    "Sandbox \(id) has ended (\(sandbox.status.state.rawValue)): it cannot be renewed")
            }
            guard end > .now() else {
                throw APIError(.badRequest, codes.invalidExpiration, "expiresAt must be in the future")
            }
            guard sandbox.expiresAt != nil else {
                throw APIError(
                    .conflict, codes.invalidExpiration,
                    "Sandbox \(id) has no expiration: it stays until it is deleted")
            }
            sandbox.expiresAt = end
            try await save(sandbox)
        }
        return end
    }

    /// Sets a later expiry; never an earlier one, and none if there is none.
    func prolong(_ id: String, toAtLeast end: Timestamp) async throws(APIError) {
        try await locks.withLock(id) { () async throws(APIError) in
            var sandbox = try sandbox(id)
            guard sandbox.status.state == .running, let present = sandbox.expiresAt, present < end else { return }
            sandbox.expiresAt = end
            try await save(sandbox)
        }
    }

    /// Revokes all signed routes and static credentials of a sandbox that were handed out so far.
    func revokeAccess(_ id: String) async throws(APIError) {
        try await locks.withLock(id) { () async throws(APIError) in
            var sandbox = try sandbox(id)
            let (count, overflows) = (sandbox.revocations ?? 0).addingReportingOverflow(1)
            guard !overflows else { throw .notSupported("sandbox \(id) cannot be revoked again: delete it") }
            sandbox.revocations = count
            try await save(sandbox)
        }
        logger.info("access revoked", metadata: ["sandbox": "\(id)"])
    }

    /// Sets entries, and removes those whose value is nil.
    func patchMetadata(_ id: String, _ patch: [String: String?]) async throws(APIError) -> Sandbox {
        try await locks.withLock(id) { () async throws(APIError) in
            var sandbox = try sandbox(id)
            for (key, value) in patch { sandbox.metadata[key] = value }
            // Removing entries is always allowed.
            if patch.values.contains(where: { $0 != nil }),
                let problem = MetadataLabel.problem("metadata", size: sandbox.metadata)
            {
                throw APIError(.badRequest, "INVALID_METADATA_LABEL", problem)
            }
            try await save(sandbox)
            return sandbox
        }
    }

    // MARK: Parts of changes

    /// Removes a sandbox that nobody knows any more.
    func destroy(_ id: String, within patience: Duration) async throws(APIError) {
        let (_, outcome) = await deletions.run(id, within: patience) { [self] () throws(APIError) in
            try await destroy(id)
        }
        guard let outcome else { throw goesOn(id) }
        try outcome.get()
    }

    /// Removes the sandbox from the runtime, including its guard.
    func destroy(_ id: String) async throws(APIError) {
        do throws(RuntimeError) {
            try await runtime.delete(id)
        } catch {
            throw failed(codes.deleteFailed, "deleting", id, error)
        }
        egress.forget(id)
    }

    func save(_ sandbox: Sandbox) async throws(APIError) {
        try await stored { () async throws(StoreError) in try await catalog.save(sandbox) }
    }

    func stored<Result: Sendable>(
        _ body: () async throws(StoreError) -> Result
    ) async throws(APIError) -> Result {
        do throws(StoreError) {
            return try await body()
        } catch {
            logger.error("the store could not be written", metadata: ["error": "\(error)"])
            throw APIError(
                .internalServerError, "SANDBOX::INTERNAL_ERROR", "the state could not be stored: the log says why")
        }
    }

    func failed(_ code: String, _ action: String, _ id: String, _ error: any Error) -> APIError {
        logger.error("\(action) a sandbox failed", metadata: ["sandbox": "\(id)", "error": "\(error)"])
        return APIError(
            .internalServerError, code, ForeignText.escaped("\(action) sandbox \(id) failed: \(error)"))
    }
}
