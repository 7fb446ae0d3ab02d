import Addresses
import DNSFilter
import FlowCheck
import Logging
import Netfilter
import NetworkPolicy

/// Where a guard works. A node enters the namespace of each sandbox; a sidecar is in its sandbox's namespace from the
/// start and shares it.
package struct GuardPlace {
    /// nil for this process's own.
    package var namespace: NetworkNamespace?
    /// An open socket for the tables of the namespace, if there is one.
    package var tables: NetfilterSocket?
    /// Packets in the namespace that are not the sandbox's.
    package var shared = SharedNamespace()
    /// Upstreams of the DNS filter whose flows begin in the namespace: no change of the policy ends them.
    package var upstreams: Set<UpstreamAddress> = []
    /// Who may open connections to the sandbox.
    package var inbound = InboundAccess.link
    /// Whether packet sockets are refused on the devices that are there now. Where devices come and go, whoever follows
    /// them does it.
    package var refusesPacketSockets = true

    package init(namespace: NetworkNamespace? = nil, tables: NetfilterSocket? = nil) {
        (self.namespace, self.tables) = (namespace, tables)
    }
}

/// Who may open connections to a sandbox.
package enum InboundAccess: Hashable, Sendable {
    case any
    /// Only hosts on the sandbox's link, and its routers.
    case link
    case blocks([CIDRBlock])

    /// Adds the hosts that may open connections to the neighbours, which the ruleset accepts. `SidecarRuleset`
    /// restricts neighbour discovery to the real neighbours.
    func widening(_ surroundings: LinkSurroundings) -> LinkSurroundings {
        var wide = surroundings
        switch self {
        case .link: break
        case .any: wide.neighbours += [CIDRBlock("0.0.0.0/0")!, CIDRBlock("::/0")!]
        case .blocks(let blocks): wide.neighbours += blocks
        }
        return wide
    }
}

/// A guarded namespace: the rules in its kernel tables, its DNS and its flow check, which begin and end together. Every
/// guard is assembled here, a node's and a sidecar's.
package final class GuardedNamespace: Sendable {
    package let guardian: EgressGuard
    /// Addresses and blocks on its links, and its routers.
    package let neighbours: [CIDRBlock]
    private let services: GuardServices
    private let dnsClient: DNSClient
    /// Its number at the flow check; nil if flows are not checked.
    private let checks: UInt64?

    /// Enforces the record's policy; it is in force when this returns. The rules are there before the filter answers: a
    /// query that arrives in between waits in the socket.
    /// - Parameters:
    ///   - lists: in front of the policy, behind the operator's rules of the settings.
    ///   - kernel: what the guard changes the kernel with, made of the rules of the namespace.
    /// - Throws: `EgressError`; rules that are in the kernel already stay.
    package init(
        _ record: GuardRecord, lists: OperatorLists? = nil, in place: GuardPlace, settings: GuardSettings,
        services: GuardServices, logger: Logger, kernel: (NamespaceRules) -> any KernelRules = { $0 }
    ) throws(EgressError) {
        let (sockets, surroundings, devices) = try NamespaceRules.inside(place.namespace) { () throws(EgressError) in
            (try LoopbackSockets.open(.dns), LinkSurroundings.current(), LinkSurroundings.devices())
        }
        let rules = try NamespaceRules(
            namespace: place.namespace, tables: place.tables, local: surroundings.local, sparing: place.upstreams)
        if place.refusesPacketSockets { try rules.refusePacketSockets(on: devices) }
        let flowCheck = try services.flowChecker.map { (checker) throws(EgressError) in
            (checker: checker, entrance: try NamespaceEntrance(place.namespace))
        }
        let meter = try TrafficMeter(
            settings.budgets, namespace: place.namespace, tables: place.tables, shared: place.shared,
            reporting: rules.refusals.reporting)
        let always = lists?.current
        guardian = try EgressGuard(
            record: record, operatorRules: always?.rules.rules ?? [], listsVersion: always?.version ?? 0,
            dnsPort: sockets.port,
            flowCheck: flowCheck.map { FlowCheckPoint(port: $0.entrance.port, mark: $0.checker.mark) },
            surroundings: place.inbound.widening(surroundings), kernel: kernel(rules), settings: settings, meter: meter,
            refusals: rules.refusals, logger: logger)
        neighbours = surroundings.neighbours
        self.services = services
        dnsClient = services.dns.attach(sockets.handOver(), policy: guardian)
        checks = flowCheck.map { [guardian] in
            $0.checker.attach(.init(entrance: $0.entrance, policy: guardian, flows: guardian.flows))
        }
    }

    /// Stops serving the namespace. Its rules stay in the kernel and refuse what they refused.
    func end() {
        services.dns.detach(dnsClient)
        if let checks { services.flowChecker?.detach(checks) }
        guardian.watch.log.close()
    }
}

/// What serves all guards of one process: the DNS filter and the flow check, each with one thread.
package final class GuardServices: Sendable {
    let dns: DNSServer
    /// `nil` if flows are not checked.
    let flowChecker: FlowChecker?

    /// - Parameter mark: marks the packets of the flow check itself.
    package init(dns: DNSConfiguration, flowCheck: FlowCheckSettings?, mark: SocketMark = .random()) throws {
        self.dns = try DNSServer(configuration: dns)
        flowChecker = try flowCheck.map { settings in
            do { return try FlowChecker(settings, mark: mark) } catch { throw EgressError.kernel("\(error)") }
        }
    }

    /// Starts the threads. Namespaces may be guarded before or after.
    package func start() throws {
        try dns.start()
        do { try flowChecker?.start() } catch { throw EgressError.kernel("\(error)") }
    }

    /// Stops answering names and ends checked flows. The rules stay in the kernel.
    package func stop() {
        dns.stop()
        flowChecker?.stop()
    }
}
