import NetworkPolicy

/// What a sandbox was seen to use while it was observed.
struct ObservedTraffic: Sendable {
    /// More names, or more pairs of an address and a port, are not kept.
    static let capacity = 4096

    private(set) var names: Set<DomainName> = []
    private(set) var flows: Set<LiveFlow> = []
    /// Whether there was more than is kept.
    private(set) var isIncomplete = false

    mutating func insert(_ name: DomainName) {
        guard names.count < Self.capacity || names.contains(name) else {
            isIncomplete = true
            return
        }
        names.insert(name)
    }

    mutating func insert(_ flow: LiveFlow) {
        guard flows.count < Self.capacity || flows.contains(flow) else {
            isIncomplete = true
            return
        }
        flows.insert(flow)
    }
}
