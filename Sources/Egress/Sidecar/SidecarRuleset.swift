import DNSFilter
import Netfilter
import NetworkPolicy

/// What the namespace needs besides the policy's rules because the guard lives in it, too: a sandbox must not pass for
/// the filter, answer in an upstream's name, or reach the policy API.
///
/// Tables of their own: what one drops no other can accept.
struct SidecarRuleset: Hashable, Sendable {
    /// Drops everything but loopback: between the start and the policy, and after a start that failed.
    static let closedTable = "sallyport_closed"
    static let table = "sallyport_sidecar"

    var apiPort: UInt16
    var upstreams: [UpstreamAddress]
    var shared: SharedNamespace
    /// What is on the link: where neighbour discovery may go.
    var neighbours: [CIDRBlock]

    static func close() -> Transaction {
        var change = Transaction()
        change.removeTable(closedTable)
        change.addTable(closedTable)
        // The first thing of all: names that are spelt out, since the first value that is asked for its own takes 0.6 ms.
        for (name, hook) in [("input", BaseChain.Hook.input), ("forward", .forward), ("output", .output)] {
            change.addChain(
                name, table: closedTable, base: BaseChain(.filter, hook, priority: -20, dropsByDefault: true))
        }
        change.addRule("input", table: closedTable, .input("lo") + [.verdict(.accept)])
        change.addRule("output", table: closedTable, .output("lo") + [.verdict(.accept)])
        return change
    }

    /// Puts the rules in and takes away those that kept everything closed, at once.
    func open() -> Transaction {
        var change = Transaction()
        change.removeTable(Self.table)
        change.addTable(Self.table)
        change.addRefusingChain("refuse", table: Self.table)
        add(output, to: "output", .output, &change)
        add(input, to: "input", .input, &change)
        if let mark = shared.filterMark {
            // After the last rule that looks at it and before anybody who listens to packets sees it.
            let scrub: [Expression] = [.setMeta(.mark, 0), .setMeta(.priority, 0)]
            add([.from(mark) + scrub], to: "postrouting", .postrouting, &change)
        }
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
        let refuse: [Expression] = [.verdict(.goto("refuse"))], pass: [Expression] = [.verdict(.accept)]
        var rules = shared.matches.map { $0 + pass } + forgeries
        rules.append(.destinationPort(apiPort, transport: IPProtocol.tcp) + .toLocalAddress + refuse)
        let transports = [IPProtocol.udp, IPProtocol.tcp]
        // A query of the sandbox leads to the filter by now. What still leads elsewhere rides on a flow of the filter.
        for upstream in upstreams where upstream.port != 53 {
            rules += transports.map {
                .destination(CIDRBlock(upstream.address)) + .destinationPort(upstream.port, transport: $0) + refuse
            }
        }
        rules += transports.map { .destinationPort(53, transport: $0) + refuse }
        // It is in the namespace, and any process of it could ask its real port.
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
        // What a namespace sends to its own addresses comes in by its loopback device, whatever source it claims.
        [.input("lo") + .destinationPort(apiPort, transport: IPProtocol.tcp) + [.verdict(.goto("refuse"))]]
    }

    /// Nobody here is an upstream. On the way out an answer of the filter is still the filter's: it gets the name of
    /// whom the sandbox asked after these rules, and cannot be told from a forged one when it comes in.
    private var forgeries: [[Expression]] {
        upstreams.filter { !$0.address.isLoopback }.flatMap { upstream in
            [IPProtocol.udp, IPProtocol.tcp].map { transport in
                .source(CIDRBlock(upstream.address)) + .sourcePort(upstream.port, transport: transport)
                    // A refusal of the kernel comes in the name of whom it was for.
                    + (transport == IPProtocol.tcp ? .noReset : []) + [.verdict(.drop)]
            }
        }
    }
}

extension [Expression] {
    /// `tcp sport PORT` or `udp sport PORT`
    fileprivate static func sourcePort(_ port: UInt16, transport number: UInt8) -> [Expression] {
        transport(number) + [
            .payload(.transport, offset: 0, length: 2), .compare(.equal, [UInt8(port >> 8), UInt8(port & 0xff)]),
        ]
    }
}
