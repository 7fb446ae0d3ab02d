/// A sandbox in the API. Absent fields are omitted, because clients fail on `null` (docs/wire.md#ground-rules).
struct SandboxView: Encodable, Sendable {
    struct Status: Encodable, Sendable {
        var state: String
        var reason: String
        var message: String
        var lastTransitionAt: String

        init(_ status: SandboxStatus) {
            state = status.state.rawValue
            reason = status.reason
            message = status.message
            lastTransitionAt = "\(status.since)"
        }
    }
    /// Which pool it is of.
    struct Allocation: Encodable, Sendable {
        var mode = "pool", state = "allocated"
        var poolRef: String
    }
    struct Image: Encodable, Sendable {
        var uri: String
    }

    var id: String
    /// Either is omitted in answers to a create.
    var image: Image?
    var snapshotId: String?
    var status: Status
    var metadata: [String: String]?
    var extensions: [String: String]?
    var platform: Platform?
    var allocation: Allocation?
    var entrypoint: [String]
    var expiresAt: String?
    var createdAt: String

    /// - Parameter showsSource: whether to say what it was made from.
    init(_ sandbox: Sandbox, showsSource: Bool = true) {
        id = sandbox.id
        image = showsSource && sandbox.snapshot == nil ? Image(uri: sandbox.image) : nil
        snapshotId = showsSource ? sandbox.snapshot : nil
        status = Status(sandbox.status)
        metadata = sandbox.metadata.isEmpty ? nil : sandbox.metadata
        extensions = sandbox.extensions.isEmpty ? nil : sandbox.extensions
        platform = sandbox.platform
        allocation = sandbox.poolRef.map { Allocation(poolRef: $0) }
        entrypoint = sandbox.entrypoint
        expiresAt = sandbox.expiresAt.map { "\($0)" }
        createdAt = "\(sandbox.createdAt)"
    }
}
