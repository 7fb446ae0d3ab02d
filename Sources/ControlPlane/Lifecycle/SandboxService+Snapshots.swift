import Logging
import NIOHTTP1
import Runtimes
import SafeText

extension SandboxService {
    /// How long a deletion waits for a snapshot of its sandbox: clients give up after 30 seconds.
    static let capturePatience = Duration.seconds(15)

    func needsSnapshots() throws(APIError) {
        guard runtime.capabilities.snapshots else {
            throw .notSupported("snapshots are not supported by this runtime", code: "SNAPSHOT::UNSUPPORTED_RUNTIME")
        }
    }

    func snapshot(_ id: String) throws(APIError) -> Snapshot {
        try needsSnapshots()
        guard let snapshot = snapshots[id] else { throw .unknownSnapshot(id) }
        return snapshot
    }

    /// Begins to take a snapshot, which goes on after this has returned.
    func takeSnapshot(of id: String, name: String?) async throws(APIError) -> Snapshot {
        try needsSnapshots()
        let snapshot = try await locks.withLock(id) { () async throws(APIError) in
            let sandbox = try sandbox(id)
            guard [.running, .paused].contains(sandbox.status.state) else {
                throw APIError(
                    .conflict, "SNAPSHOT::INVALID_SOURCE_STATE",
                    "Sandbox \(id) is \(sandbox.status.state.rawValue): only a running or paused one can be captured")
            }
            guard !captures.isAtWork(id) else {
                throw APIError(
                    .conflict, "SNAPSHOT::RUNTIME_CREATE_CONFLICT", "a snapshot of sandbox \(id) is being taken already"
                )
            }
            try checkRoom(for: sandbox.owner)
            do throws(RuntimeError) { try await runtime.admit(ResourceLimits()) } catch { throw refusal(error) }
            let snapshot = Snapshot(id: Sandbox.identifier(), of: sandbox, name: name, at: .now())
            try await keep(snapshot)
            captures.begin(id) { [self] in await capture(snapshot) }
            return snapshot
        }
        return snapshot
    }

    /// Copies that run at once; the runtime has a thread for each, so that none waits where it could not be called off. A named key
    /// has half of them.
    static let maxCaptures = 4
    /// A named key's snapshots lie outside its sandboxes' disk limits, and stay until they are deleted.
    static let maxSnapshotsOfKey = 100

    private func checkRoom(for owner: String?) throws(APIError) {
        let creating = snapshots.all.filter { $0.state == .creating }
        guard creating.count < Self.maxCaptures,
            owner == nil || creating.filter({ $0.owner == owner }).count < Self.maxCaptures / 2
        else {
            throw APIError(
                .tooManyRequests, "SANDBOX::CAPACITY_EXHAUSTED",
                "too many snapshots are being taken at the moment: try again when one of them is Ready")
        }
        guard let owner, snapshots.all.filter({ $0.owner == owner }).count >= Self.maxSnapshotsOfKey else { return }
        throw APIError(
            .tooManyRequests, "SANDBOX::CAPACITY_EXHAUSTED",
            "a key may have \(Self.maxSnapshotsOfKey) snapshots: delete some")
    }

    /// Calls off whatever is being taken, so that no sandbox stands still when this server has ended.
    func endCaptures() async { await captures.callOffAll() }

    private func capture(_ snapshot: Snapshot) async {
        let outcome: Snapshot
        do throws(RuntimeError) {
            try await runtime.takeSnapshot(snapshot.id, of: snapshot.sandbox)
            outcome = snapshot.moved(
                to: .ready, reason: SnapshotReason.ready, message: "The sandbox's files were captured.")
            logger.info("snapshot taken", metadata: ["snapshot": "\(snapshot.id)", "sandbox": "\(snapshot.sandbox)"])
        } catch {
            logger.error("taking a snapshot failed", metadata: ["snapshot": "\(snapshot.id)", "error": "\(error)"])
            let why = error == .cancelled ? "the sandbox was deleted while it was being captured" : "\(error)"
            outcome = snapshot.moved(to: .failed, reason: SnapshotReason.failed, message: ForeignText.escaped(why))
        }
        // In a separate task, because this one may have been cancelled.
        await Task {
            do throws(APIError) { try await keep(outcome) } catch {
                // What the store does not have, no client is told to have.
                try? await runtime.deleteSnapshot(snapshot.id)
                snapshots.note(snapshot.moved(to: .failed, reason: SnapshotReason.failed, message: error.message))
            }
        }.value
    }

    /// Removes a snapshot. Sandboxes that were restored from it go on.
    func deleteSnapshot(_ id: String) async throws(APIError) {
        try await snapshotLocks.withLock(id) { () async throws(APIError) in
            let snapshot = try snapshot(id)
            guard snapshot.state != .creating else {
                throw APIError(
                    .conflict, "SNAPSHOT::INVALID_STATE",
                    "Snapshot \(id) is being taken: wait until it is Ready or Failed")
            }
            let deleting = snapshot.moved(
                to: .deleting, reason: SnapshotReason.deleting, message: "Snapshot deletion requested.")
            // If the store fails, as on a full disk, the deletion goes on: otherwise nobody could free space.
            do throws(APIError) { try await keep(deleting) } catch { snapshots.note(deleting) }
            do throws(RuntimeError) {
                try await runtime.deleteSnapshot(id)
            } catch {
                // It is still whole.
                do throws(APIError) { try await keep(snapshot) } catch { snapshots.note(snapshot) }
                logger.error("deleting a snapshot failed", metadata: ["snapshot": "\(id)", "error": "\(error)"])
                throw APIError(
                    .internalServerError, "DOCKER::SNAPSHOT_IMAGE_REMOVE_FAILED",
                    ForeignText.escaped("deleting snapshot \(id) failed: \(error)"))
            }
            try await stored { () async throws(StoreError) in try await snapshots.remove(id) }
        }
        logger.info("snapshot deleted", metadata: ["snapshot": "\(id)"])
    }

    /// The image of what a create is to be made from, for people.
    /// - Throws: if that is a snapshot which cannot be restored.
    func source(of request: CreateRequest) throws(APIError) -> String {
        guard let id = request.snapshot else { return request.image }
        let snapshot = try snapshot(id)
        guard snapshot.state == .ready else {
            throw APIError(
                .conflict, "SNAPSHOT::NOT_READY", "Snapshot \(id) is \(snapshot.state.rawValue): \(snapshot.message)")
        }
        return snapshot.image
    }

    // MARK: Recovery

    /// Finishes what an earlier server has begun: a snapshot that is whole is ready, a deletion goes on.
    func recoverSnapshots() async throws(StoreError) {
        guard runtime.capabilities.snapshots else { return }
        let unreadable = try await snapshots.load()
        for id in unreadable {
            logger.error(
                "the stored record of a snapshot cannot be read; it is left as it is", metadata: ["snapshot": "\(id)"])
        }
        let whole: Set<String>
        do throws(RuntimeError) { whole = Set(try await runtime.snapshots()) } catch {
            return logger.error("the runtime could not list its snapshots", metadata: ["error": "\(error)"])
        }
        for snapshot in snapshots.all {
            do throws(APIError) { try await recover(snapshot, isWhole: whole.contains(snapshot.id)) } catch {
                logger.error(
                    "recovering a snapshot failed",
                    metadata: ["snapshot": "\(snapshot.id)", "error": "\(error.message)"])
            }
        }
        for id in whole.subtracting(snapshots.all.map(\.id)).subtracting(unreadable) {
            logger.warning("removing a snapshot that is not in the store", metadata: ["snapshot": "\(id)"])
            try? await runtime.deleteSnapshot(id)
        }
    }

    private func recover(_ snapshot: Snapshot, isWhole: Bool) async throws(APIError) {
        switch (snapshot.state, isWhole) {
        case (.creating, true):
            try await keep(
                snapshot.moved(
                    to: .ready, reason: SnapshotReason.recovered,
                    message: "The server ended meanwhile; the snapshot is whole."))
        case (.creating, false):
            try await keep(
                snapshot.moved(
                    to: .failed, reason: SnapshotReason.notRecovered,
                    message: "the server ended while the sandbox was being captured"))
        case (.deleting, _): try await deleteSnapshot(snapshot.id)
        case (.ready, false):
            // Kept: the folder may be put back. A create from it is refused meanwhile.
            logger.error("the files of a snapshot are not there", metadata: ["snapshot": "\(snapshot.id)"])
        case (.failed, true):
            // An engine goes on with what a server asked for that was killed, and may be done after the next one has looked.
            do throws(RuntimeError) { try await runtime.deleteSnapshot(snapshot.id) } catch {
                logger.error(
                    "removing what a failed snapshot has left did not work",
                    metadata: ["snapshot": "\(snapshot.id)", "error": "\(error)"])
            }
        case (.ready, true), (.failed, false): break
        }
    }

    private func keep(_ snapshot: Snapshot) async throws(APIError) {
        try await stored { () async throws(StoreError) in try await snapshots.save(snapshot) }
    }
}
