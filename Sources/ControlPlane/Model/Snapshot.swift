/// The state of a snapshot (docs/wire.md#snapshots).
package enum SnapshotState: String, Codable, Hashable, Sendable {
    case creating = "Creating"
    case ready = "Ready"
    case failed = "Failed"
    case deleting = "Deleting"
}

/// The server's record of a snapshot: the files of a sandbox at one moment. It may outlive the sandbox.
package struct Snapshot: Codable, Hashable, Sendable, Identifiable {
    package var id: String
    /// The id of the sandbox that it was taken of.
    package var sandbox: String
    package var name: String?
    /// Whose it is: the id of the key that the sandbox belonged to; nil for the administrators'.
    var owner: String?
    /// The image of that sandbox, for people.
    package var image: String
    package var state: SnapshotState
    /// A stable word for programs.
    package var reason: String
    /// A sentence for people.
    package var message: String
    package var since: Timestamp
    package var createdAt: Timestamp

    /// One that is being taken.
    init(id: String, of sandbox: Sandbox, name: String?, at now: Timestamp) {
        self.id = id
        self.sandbox = sandbox.id
        self.name = name
        owner = sandbox.owner
        image = sandbox.image
        state = .creating
        reason = SnapshotReason.accepted
        message = "Snapshot creation accepted."
        since = now
        createdAt = now
    }

    /// The snapshot in another state. A clock that was set back makes no time earlier than that of its creation.
    func moved(to state: SnapshotState, reason: String, message: String, at now: Timestamp = .now()) -> Snapshot {
        var snapshot = self
        (snapshot.state, snapshot.reason, snapshot.message) = (state, reason, message)
        snapshot.since = max(now, createdAt)
        return snapshot
    }
}

/// Stable words for why a snapshot is in its state, which clients know from the contract.
enum SnapshotReason {
    static let accepted = "snapshot_accepted"
    static let ready = "snapshot_runtime_ready"
    static let failed = "snapshot_runtime_failed"
    static let deleting = "snapshot_delete_requested"
    /// A server ended while it was being taken, and the next one found it whole, or not.
    static let recovered = "snapshot_recovery_ready"
    static let notRecovered = "snapshot_recovery_missing_image"
}
