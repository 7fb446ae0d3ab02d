import NetworkPolicy

/// What a sandbox was seen to use while it was observed.
struct ObservedTraffic: Sendable {
    /// More names, or more pairs of an address and a port, are not kept.
    static let capacity = 4096

    private(set) var names: Set<DomainName> = []
    private(set) var flows: Set<LiveFlow> = []
    /// Whether there was more than is kept.
    private(set) var isIncomplete = false

    /// - Returns: whether there was room.
    @discardableResult
    mutating func insert(_ name: DomainName) -> Bool { insert(name, into: \.names) }

    /// - Returns: whether there was room.
    @discardableResult
    mutating func insert(_ flow: LiveFlow) -> Bool { insert(flow, into: \.flows) }

    private mutating func insert<Seen>(_ seen: Seen, into kept: WritableKeyPath<Self, Set<Seen>>) -> Bool {
        guard self[keyPath: kept].count < Self.capacity || self[keyPath: kept].contains(seen) else {
            isIncomplete = true
            return false
        }
        self[keyPath: kept].insert(seen)
        return true
    }

    /// Until there is no more room: a table of connections may have far more than are kept.
    mutating func insert(_ flows: Set<LiveFlow>) {
        for flow in flows { guard insert(flow) else { return } }
    }
}
