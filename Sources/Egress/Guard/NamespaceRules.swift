import Addresses
import DNSFilter
import Metrics
import Netfilter
import NetworkPolicy
import Synchronization

/// `KernelRules` through netlink sockets that were opened inside the sandbox's namespace.
package final class NamespaceRules: KernelRules {
    private let tables: NetfilterSocket
    private let conntrack: Conntrack
    private let sockets: SocketDestroyer
    /// What the kernel tells of the packets that these rules refuse.
    let refusals: RefusalLog
    /// The devices on which packet sockets are blocked, for restoring these rules.
    private let packetDevices = Mutex<[String]>([])
    /// The sandbox's own addresses when its guard started. A flow to one of these is inbound; every other flow counts
    /// as the sandbox's own. The reverse test, by source address, would miss flows from an address that the sandbox was
    /// given later, and a revocation would not end them.
    private let local: Set<IPAddress>
    /// Whether this is the process's own namespace (a sidecar), whose addresses are read again each time.
    private let isShared: Bool

    /// The filter's upstreams, if it shares the namespace with the sandbox: its queries to them must survive changes of
    /// the policy.
    private let spared: Set<UpstreamAddress>

    /// Opens the sockets. `nil` means the process's own namespace, which needs no right to enter.
    /// - Parameters:
    ///   - tables: an open socket of that namespace, if there is one. Its changes do not count as made by another
    ///     program.
    ///   - local: the sandbox's own addresses, if already known.
    init(
        namespace: NetworkNamespace?, tables: NetfilterSocket? = nil, local: Set<IPAddress>? = nil,
        sparing spared: Set<UpstreamAddress> = []
    ) throws(EgressError) {
        self.spared = spared
        isShared = namespace == nil
        (self.tables, conntrack, sockets, refusals, self.local) = try Self.inside(namespace) { () throws(EgressError) in
            try EgressError.ofKernel { () throws(NetfilterError) in
                let tables = if let tables { tables } else { try NetfilterSocket() }
                return (
                    tables, try Conntrack(), try SocketDestroyer(), RefusalLog(tables),
                    local ?? LinkSurroundings.current().local
                )
            }
        }
    }

    /// Runs `body` on a thread that is in the namespace.
    static func inside<Result: Sendable>(
        _ namespace: NetworkNamespace?, _ body: @Sendable () throws(EgressError) -> Result
    ) throws(EgressError) -> Result {
        guard let namespace else { return try body() }
        do {
            return try namespace.run { () throws(any Error) -> Result in try body() }
        } catch let error as EgressError {
            throw error
        } catch {
            throw .kernel("\(error)")
        }
    }

    package func install(_ ruleset: SandboxRuleset, learned: [LearnedElement]) throws(EgressError) {
        try counted(.staticApply) { () throws(EgressError) in
            let devices = packetDevices.withLock { $0 }
            // One commit each: if the second one fails, the first one's counters have begun anew nevertheless.
            if !devices.isEmpty {
                try refusals.replacing([PacketRules.table]) { () throws(EgressError) in
                    try commit(PacketRules.install(devices: devices, reporting: refusals.packetReporting))
                }
            }
            try refusals.replacing([SandboxRuleset.table]) { () throws(EgressError) in
                let all = RulesetTransactions.install(ruleset, learned: learned, reporting: refusals.reporting)
                try commit(all, isWhole: true)
            }
        }
    }

    package func wasChangedByOthers() throws(EgressError) -> Bool {
        try EgressError.ofKernel { () throws(NetfilterError) in try tables.wasChangedByOthers() }
    }

    package func apply(_ difference: RulesetDifference, learned: [LearnedChange]) throws(EgressError) {
        try counted(difference.isEmpty ? .dynamicAdd : .staticApply) { () throws(EgressError) in
            try commit(RulesetTransactions.apply(difference, learned: learned))
        }
    }

    /// Blocks packet sockets on these devices. Devices that appear later are not covered.
    func refusePacketSockets(on devices: [String]) throws(EgressError) {
        try commit(PacketRules.install(devices: devices, reporting: refusals.packetReporting))
        packetDevices.withLock { $0 = devices }
    }

    package func learned() throws(EgressError) -> [FoundElement] {
        try EgressError.ofKernel { () throws(NetfilterError) in
            guard try tables.hasTable(SandboxRuleset.table) else { return [] }
            var found: [FoundElement] = []
            for set in [RulesetTransactions.learnedSets.v4, RulesetTransactions.learnedSets.v6] {
                for element in try tables.elements(of: set, table: SandboxRuleset.table) {
                    guard let address = element.address, let milliseconds = element.timeout else { continue }
                    found.append(
                        FoundElement(address: address, lifetime: milliseconds / 1000, names: element.userData))
                }
            }
            return found
        }
    }

    @discardableResult
    package func cut(
        forgettingNameQueries: Bool, where isRevoked: (IPAddress, Traffic) -> Bool
    ) throws(EgressError) -> Int {
        // Read only if there are flows.
        lazy var own = ownAddresses
        return try EgressError.ofKernel { () throws(NetfilterError) in
            var destroyed = 0
            let forgotten = try conntrack.delete(
                where: { flow in
                    // A reply from loopback means that the flow was redirected to the filter or the flow check.
                    guard !flow.replySource.isLoopback else {
                        return forgettingNameQueries && flow.destinationPort == 53
                    }
                    // The flow check's own connections are left to `OpenFlows`, which knows their names.
                    return flow.mark != FlowCheckMark.connection && !own.contains(flow.destination)
                        && isRevoked(flow.destination, flow.traffic)
                        && !spared.contains(UpstreamAddress(address: flow.destination, port: flow.destinationPort))
                },
                // Destroy sockets first: their reset can still pass, so that the other side learns of the end.
                before: { (doomed) throws(NetfilterError) in
                    let ends = Set(doomed.lazy.filter { !$0.replySource.isLoopback }.map { FlowEnds($0) })
                    if !ends.isEmpty { destroyed = try sockets.destroy { ends.contains(FlowEnds($0)) } }
                })
            return destroyed + forgotten
        }
    }

    package func liveFlows() throws(EgressError) -> Set<LiveFlow> {
        let own = ownAddresses
        return try EgressError.ofKernel { () throws(NetfilterError) in
            let flows = try conntrack.flows().filter {
                !own.contains($0.destination) && !$0.replySource.isLoopback
                    && !spared.contains(UpstreamAddress(address: $0.destination, port: $0.destinationPort))
            }
            return Set(flows.map { LiveFlow(address: $0.destination, traffic: $0.traffic, isAnswered: $0.isAnswered) })
        }
    }

    private var ownAddresses: Set<IPAddress> { isShared ? local.union(LinkSurroundings.current().local) : local }

    /// Counts a change of the kernel's rules, under the reference's metric names.
    private func counted(_ operation: RuleUpdates, _ change: () throws(EgressError) -> Void) throws(EgressError) {
        do throws(EgressError) {
            try change()
        } catch {
            RuleUpdates.failed[operation]?.increment()
            throw error
        }
        RuleUpdates.made.increment()
    }

    private func commit(_ transaction: Transaction, isWhole: Bool = false) throws(EgressError) {
        try EgressError.ofKernel { () throws(NetfilterError) in try tables.commit(transaction, isWhole: isWhole) }
    }
}

private enum RuleUpdates: String, CaseIterable {
    case staticApply = "static_apply"
    case dynamicAdd = "dynamic_add"

    static let made = Counter(label: "egress.nftables.updates.count")
    static let failed = Dictionary(
        uniqueKeysWithValues: allCases.map {
            ($0, Counter(label: "egress.nftables.updates.failed_total", dimensions: [("operation", $0.rawValue)]))
        })
}

/// A flow's two ends, to match it with its socket.
private struct FlowEnds: Hashable {
    var transport: UInt8
    var local, remote: IPAddress
    var localPort, remotePort: UInt16

    init(_ flow: Flow) {
        (transport, local, remote) = (flow.transport, flow.source, flow.destination)
        (localPort, remotePort) = (flow.sourcePort, flow.destinationPort)
    }

    init(_ socket: OpenSocket) {
        (transport, local, remote) = (socket.transport, socket.local, socket.remote)
        (localPort, remotePort) = (socket.localPort, socket.remotePort)
    }
}

extension Flow {
    /// The kind of traffic, as rules see it. ICMP counts only in its own address family.
    var traffic: Traffic {
        switch transport {
        case IPProtocol.tcp: .tcp(port: destinationPort)
        case IPProtocol.udp: .udp(port: destinationPort)
        case destination.isIPv4 ? IPProtocol.icmp : IPProtocol.icmpv6: .icmp
        default: .other
        }
    }
}
