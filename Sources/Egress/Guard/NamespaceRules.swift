import DNSFilter
import Metrics
import Netfilter
import NetworkPolicy
import Synchronization

/// The kernel's side of a guard, for real: netlink sockets that were opened inside the sandbox's namespace.
final class NamespaceRules: KernelRules {
    private let tables: NetfilterSocket
    private let conntrack: Conntrack
    private let sockets: SocketDestroyer
    /// Where packet sockets are refused, so that it can be done again.
    private let packetDevices = Mutex<[String]>([])
    /// The sandbox's own addresses, as they were when its guard began: flows that lead there came in, all others are its
    /// own. Not the other way about: an address that it has had since then would begin flows that nobody ends.
    private let local: Set<IPAddress>
    /// Whether it is the namespace of this process, whose addresses are looked at anew each time.
    private let isShared: Bool

    /// The filter's own, where it shares the namespace with the sandbox: no change of policy ends queries to these.
    private let spared: Set<UpstreamAddress>

    /// `nil` for the namespace of this process, which takes no right to enter it.
    /// - Parameters:
    ///   - tables: a socket of that namespace, where there is one already: what it changes is not others' doing.
    ///   - local: the sandbox's own addresses, where they are known already.
    init(
        namespace: NetworkNamespace?, tables: NetfilterSocket? = nil, local: Set<IPAddress>? = nil,
        sparing spared: Set<UpstreamAddress> = []
    ) throws(EgressError) {
        self.spared = spared
        isShared = namespace == nil
        (self.tables, conntrack, sockets, self.local) = try Self.inside(namespace) { () throws(EgressError) in
            try Self.translated { () throws(NetfilterError) in
                let tables = if let tables { tables } else { try NetfilterSocket() }
                return (tables, try Conntrack(), try SocketDestroyer(), local ?? LinkSurroundings.current().local)
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

    func install(_ ruleset: SandboxRuleset, learned: [LearnedElement]) throws(EgressError) {
        try counted(.staticApply) { () throws(EgressError) in
            let devices = packetDevices.withLock { $0 }
            if !devices.isEmpty { try commit(PacketRules.install(devices: devices)) }
            try commit(RulesetTransactions.install(ruleset, learned: learned), isWhole: true)
        }
    }

    func wasChangedByOthers() throws(EgressError) -> Bool {
        try Self.translated { () throws(NetfilterError) in try tables.wasChangedByOthers() }
    }

    func apply(_ difference: RulesetDifference, learned: [LearnedChange]) throws(EgressError) {
        try counted(difference.isEmpty ? .dynamicAdd : .staticApply) { () throws(EgressError) in
            try commit(RulesetTransactions.apply(difference, learned: learned))
        }
    }

    /// Of these devices; one that comes later is not among them.
    func refusePacketSockets(on devices: [String]) throws(EgressError) {
        try commit(PacketRules.install(devices: devices))
        packetDevices.withLock { $0 = devices }
    }

    func learned() throws(EgressError) -> [FoundElement] {
        try Self.translated { () throws(NetfilterError) in
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
    func cut(
        forgettingNameQueries: Bool, where isRevoked: (IPAddress, Traffic) -> Bool
    ) throws(EgressError) -> Int {
        let own = ownAddresses
        return try Self.translated { () throws(NetfilterError) in
            var destroyed = 0
            let forgotten = try conntrack.delete(
                where: { flow in
                    // What is answered on loopback was redirected there.
                    guard !flow.replySource.isLoopback else {
                        return forgettingNameQueries && flow.destinationPort == 53
                    }
                    // Of the flow check's own connections `OpenFlows` knows more: the names.
                    return flow.mark != FlowCheckMark.connection && !own.contains(flow.destination)
                        && isRevoked(flow.destination, flow.traffic)
                        && !spared.contains(UpstreamAddress(address: flow.destination, port: flow.destinationPort))
                },
                // Sockets first: their last segment still passes, so that the other side hears of the end. A query may
                // be asked again, of the filter that is there now.
                before: { (doomed) throws(NetfilterError) in
                    let ends = Set(doomed.lazy.filter { !$0.replySource.isLoopback }.map { FlowEnds($0) })
                    if !ends.isEmpty { destroyed = try sockets.destroy { ends.contains(FlowEnds($0)) } }
                })
            return destroyed + forgotten
        }
    }

    func liveDestinations() throws(EgressError) -> Set<IPAddress> {
        let own = ownAddresses
        return try Self.translated { () throws(NetfilterError) in
            let flows = try conntrack.flows().filter { !own.contains($0.destination) && !$0.replySource.isLoopback }
            return Set(flows.map(\.destination))
        }
    }

    private var ownAddresses: Set<IPAddress> { isShared ? local.union(LinkSurroundings.current().local) : local }

    /// Counts a change of the kernel's rules, under the reference's names.
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
        try Self.translated { () throws(NetfilterError) in try tables.commit(transaction, isWhole: isWhole) }
    }

    private static func translated<Result>(_ body: () throws(NetfilterError) -> Result) throws(EgressError) -> Result {
        do throws(NetfilterError) {
            return try body()
        } catch {
            throw .kernel("\(error)")
        }
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

/// A flow by its ends, as its socket names them.
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
    /// The flow as rules see it: ICMP counts in its own family only.
    var traffic: Traffic {
        switch transport {
        case IPProtocol.tcp: .tcp(port: destinationPort)
        case IPProtocol.udp: .udp(port: destinationPort)
        case destination.isIPv4 ? IPProtocol.icmp : IPProtocol.icmpv6: .icmp
        default: .other
        }
    }
}

extension IPAddress {
    var isLoopback: Bool {
        switch self {
        case .v4(let address): address.rawValue >> 24 == 127
        case .v6(let address): address.high == 0 && address.low == 1
        }
    }
}
