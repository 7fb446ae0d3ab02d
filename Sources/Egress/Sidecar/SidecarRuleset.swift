import Addresses
import DNSFilter
import Egress
import Netfilter
import NetworkPolicy

/// Rules that the namespace needs because the guard shares it: a sandbox must not be able to imitate the filter, answer
/// in an upstream's name, or reach the policy API.
///
/// In separate tables, so that what these drop no other table can accept.
struct SidecarRuleset: Hashable, Sendable {
    /// Drops everything but loopback: between the start and the policy, and after a start that failed.
    static let closedTable = "sallyport_closed"
    static let table = RefusalReason.sidecarTable
    /// Is there while a sidecar runs, and holds nothing: who makes it first guards the namespace.
    static let claim = "sallyport_running"

    var apiPort: UInt16
    var upstreams: [UpstreamAddress]
    var shared: SharedNamespace
    /// Hosts on the link, to which neighbour discovery is allowed.
    var neighbours: [CIDRBlock]
    /// Whether the policy API may be asked by loopback.
    var answersInside = false
    var reporting = RefusalReporting.counted
    /// Of the policy API's socket and its connections. Only who may change these rules can set one (SO_MARK, socket(7)), since
    /// Linux 5.17 who may send raw packets, too, which has 2^32 to try: what
    /// else listens on the port, when no sidecar does, answers nobody, and is told no token.
    var apiMark: UInt32

    /// - Parameter claiming: refused where another sidecar runs, before anything is changed.
    static func close(claiming: Bool = false) -> Transaction {
        var change = Transaction()
        if claiming { change.claimTable(claim) }
        change.removeTable(closedTable)
        change.addTable(closedTable)
        // Names are string literals here, because this is the first work of a start and the first reflected enum name
        // takes 0.6 ms.
        for (name, hook) in [("input", BaseChain.Hook.input), ("forward", .forward), ("output", .output)] {
            change.addChain(
                name, table: closedTable, base: BaseChain(.filter, hook, priority: -20, dropsByDefault: true))
        }
        change.addRule("input", table: closedTable, .input("lo") + [.verdict(.accept)])
        change.addRule("output", table: closedTable, .output("lo") + [.verdict(.accept)])
        return change
    }

    /// Installs the rules and removes those that kept everything closed, in one transaction.
    func open() -> Transaction {
        var change = Transaction()
        change.removeTable(Self.table)
        change.addTable(Self.table)
        change.addRefusingChain("refuse", table: Self.table)
        change.addRefusals([.reserved], table: Self.table, to: "refuse", reporting)
        add(output, to: "output", .output, &change)
        add(input, to: "input", .input, &change)
        // Clear the marks after the last rule that needs them and before a packet socket can see them.
        let scrub: [Expression] = [.setMeta(.mark, 0), .setMeta(.priority, 0)]
        let scrubbed = (shared.filterMark.map { [.from($0) + scrub] } ?? []) + [.mark(apiMark) + scrub]
        add(scrubbed, to: "postrouting", .postrouting, &change)
        change.removeTable(Self.closedTable)
        return change
    }

    private func add(
        _ rules: [[Expression]], to chain: String, _ hook: BaseChain.Hook, _ change: inout Transaction
    ) {
        change.addChain(
            chain, table: Self.table, base: BaseChain(.filter, hook, priority: -10, dropsByDefault: false))
        for rule in rules { change.addRule(chain, table: Self.table, rule) }
    }

    private var output: [[Expression]] {
        let refuse: [Expression] = [.verdict(.goto(RefusalReason.reserved.chain))]
        let pass: [Expression] = [.verdict(.accept)]
        let answers: [Expression] = .sourcePort(apiPort, transport: IPProtocol.tcp)
        var rules = [answers + .mark(apiMark) + pass, answers + .noReset + [.verdict(.drop)]]
        rules += shared.matches.map { $0 + pass } + forgeries
        if answersInside {
            rules += CIDRBlock.loopback.map {
                .destinationPort(apiPort, transport: IPProtocol.tcp) + .destination($0) + pass
            }
        }
        rules.append(.destinationPort(apiPort, transport: IPProtocol.tcp) + .toLocalAddress + refuse)
        let transports = [IPProtocol.udp, IPProtocol.tcp]
        // The sandbox's queries have been redirected to the filter by now. Whatever still goes to an upstream is trying
        // to use a flow of the filter.
        for upstream in upstreams where upstream.port != 53 {
            rules += transports.map {
                .destination(CIDRBlock(upstream.address)) + .destinationPort(upstream.port, transport: $0) + refuse
            }
        }
        rules += transports.map { .destinationPort(53, transport: $0) + refuse }
        // Docker's resolver is in the namespace, and any process could use its real port.
        rules += transports.map { .transport($0) + .destination(CIDRBlock(DockerResolver.address)) + refuse }
        for type: UInt8 in [133, 135, 136] {
            for block in [CIDRBlock("ff02::/16")!, CIDRBlock("fe80::/10")!] + neighbours.filter({ !$0.base.isIPv4 }) {
                rules.append(.icmpv6(type: type) + .destination(block) + pass)
            }
            rules.append(.icmpv6(type: type) + [.verdict(.drop)])
        }
        return rules
    }

    private var input: [[Expression]] {
        // Packets of a namespace to its own addresses arrive on loopback, whatever their source address.
        let asked: [Expression] = .input("lo") + .destinationPort(apiPort, transport: IPProtocol.tcp)
        let opened = answersInside ? CIDRBlock.loopback.map { asked + .destination($0) + [.verdict(.accept)] } : []
        return opened + [asked + [.verdict(.goto("refuse"))]]
    }

    /// Drops outgoing packets with an upstream's address as their source, since no upstream runs here. The filter's
    /// real answers are not affected: NAT gives them the address of the resolver that the sandbox asked only after
    /// these rules. This must be an output rule, because on arrival a real answer looks like a forged one.
    private var forgeries: [[Expression]] {
        upstreams.filter { !$0.address.isLoopback }.flatMap { upstream in
            [IPProtocol.udp, IPProtocol.tcp].map { transport in
                // Resets that the kernel sends have the original destination as their source.
                let spared: [Expression] = transport == IPProtocol.tcp ? .noReset : []
                let from: [Expression] = .source(CIDRBlock(upstream.address))
                return from + .sourcePort(upstream.port, transport: transport) + spared + [.verdict(.drop)]
            }
        }
    }
}

extension CIDRBlock {
    fileprivate static let loopback = [CIDRBlock("127.0.0.0/8")!, CIDRBlock("::1/128")!]
}

extension [Expression] {
    /// `tcp sport PORT` or `udp sport PORT`
    fileprivate static func sourcePort(_ port: UInt16, transport number: UInt8) -> [Expression] {
        transport(number) + [
            .payload(.transport, offset: 0, length: 2), .compare(.equal, [UInt8(port >> 8), UInt8(port & 0xff)]),
        ]
    }
}
