/// One page of a list.
struct Page<Item: Encodable & Sendable>: Encodable, Sendable {
    struct Pagination: Encodable, Sendable {
        var page: Int
        var pageSize: Int
        var totalItems: Int
        var totalPages: Int
        var hasNextPage: Bool
    }

    var items: [Item]
    var pagination: Pagination

    /// - Parameter all: in their order.
    init<Record>(_ all: [Record], _ wanted: PageQuery, _ view: (Record) -> Item) {
        let pages = (all.count + wanted.size - 1) / wanted.size
        // A page number near Int.max must not overflow.
        let skipped = wanted.number > pages ? all.count : (wanted.number - 1) * wanted.size
        items = all.dropFirst(skipped).prefix(wanted.size).map(view)
        pagination = Pagination(
            page: wanted.number, pageSize: wanted.size, totalItems: all.count, totalPages: pages,
            hasNextPage: wanted.number < pages)
    }
}

typealias SandboxPage = Page<SandboxView>

extension Page where Item == SandboxView {
    /// The page of the selected sandboxes, newest first.
    init(_ sandboxes: [Sandbox], _ query: ListQuery) {
        let selected = sandboxes.filter(query.selects).sorted { ($0.createdAt, $0.id) > ($1.createdAt, $1.id) }
        self.init(selected, query.page) { SandboxView($0) }
    }
}

extension Page where Item == SnapshotView {
    /// The page of the selected snapshots, newest first.
    init(_ snapshots: [Snapshot], _ query: SnapshotQuery) {
        let selected = snapshots.filter(query.selects).sorted { ($0.createdAt, $0.id) > ($1.createdAt, $1.id) }
        self.init(selected, query.page) { SnapshotView($0) }
    }
}
