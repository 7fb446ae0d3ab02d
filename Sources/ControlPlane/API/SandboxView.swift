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
    /// Omitted in answers to a create.
    var image: Image?
    var status: Status
    var metadata: [String: String]?
    var extensions: [String: String]?
    var platform: Platform?
    var allocation: Allocation?
    var entrypoint: [String]
    var expiresAt: String?
    var createdAt: String

    init(_ sandbox: Sandbox, showsImage: Bool = true) {
        id = sandbox.id
        image = showsImage ? Image(uri: sandbox.image) : nil
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

/// One page of a list.
struct SandboxPage: Encodable, Sendable {
    struct Pagination: Encodable, Sendable {
        var page: Int
        var pageSize: Int
        var totalItems: Int
        var totalPages: Int
        var hasNextPage: Bool
    }

    var items: [SandboxView]
    var pagination: Pagination

    /// The page of the selected sandboxes, newest first.
    init(_ sandboxes: [Sandbox], _ query: ListQuery) {
        let selected = sandboxes.filter(query.selects).sorted { ($0.createdAt, $0.id) > ($1.createdAt, $1.id) }
        let pages = (selected.count + query.pageSize - 1) / query.pageSize
        // A page number near Int.max must not overflow.
        let skipped = query.page > pages ? selected.count : (query.page - 1) * query.pageSize
        items = selected.dropFirst(skipped).prefix(query.pageSize).map { SandboxView($0) }
        pagination = Pagination(
            page: query.page, pageSize: query.pageSize, totalItems: selected.count, totalPages: pages,
            hasNextPage: query.page < pages)
    }
}
