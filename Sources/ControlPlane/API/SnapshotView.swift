/// A snapshot in the API (docs/wire.md#snapshots).
struct SnapshotView: Encodable, Sendable {
    struct Status: Encodable, Sendable {
        var state: String
        var reason: String
        var message: String
        var lastTransitionAt: String
    }

    var id: String
    var sandboxId: String
    var name: String?
    var status: Status
    var createdAt: String

    init(_ snapshot: Snapshot) {
        id = snapshot.id
        sandboxId = snapshot.sandbox
        name = snapshot.name
        status = Status(
            state: snapshot.state.rawValue, reason: snapshot.reason, message: snapshot.message,
            lastTransitionAt: "\(snapshot.since)")
        createdAt = "\(snapshot.createdAt)"
    }
}
