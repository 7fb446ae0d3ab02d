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
    mutating func insert(_ name: DomainName) -> Bool {
        guard names.count < Self.capacity || names.contains(name) else {
            isIncomplete = true
            return false
        }
        names.insert(name)
        return true
    }

    /// - Returns: whether there was room.
    @discardableResult
    mutating func insert(_ flow: LiveFlow) -> Bool {
        guard flows.count < Self.capacity || flows.contains(flow) else {
            isIncomplete = true
            return false
        }
        flows.insert(flow)
        return true
    }

    /// Until there is no more room: a table of connections may have far more than are kept.
    mutating func insert(_ flows: Set<LiveFlow>) {
        for flow in flows { guard insert(flow) else { return } }
    }
}
