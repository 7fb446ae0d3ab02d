import Addresses
import Netfilter
import NetworkPolicy

/// The host's rules for its sandboxes: they reach the outside through NAT, but never each other, the host's services,
/// or link-local addresses; each other's published ports (`PortForwarding`) like anybody else. What each may reach outside is decided by its guard.
struct HostFirewall: Hashable, Sendable {
    let table: String
    let pool: CIDRBlock
    let poolV6: CIDRBlock
    /// A pattern for the host ends of sandboxes' links.
    let links: String
    /// Users whose programs may connect to sandboxes; nil for all.
    var reachableBy: Set<UInt32>?
    /// nil where no ports are published.
    var forwarding: PortForwarding?

    var transaction: Transaction {
        var change = Transaction()
        change.removeTable(table)
        change.addTable(table)
        forwarding?.addChains(to: &change, table: table)
        addForward(to: &change)
        addInput(to: &change)
        addOutput(to: &change)
        forwarding?.addTargets(to: &change, table: table, links: links)
        change.addChain(
            "leave", table: table, base: BaseChain(.nat, .postrouting, priority: 100, dropsByDefault: false))
        forwarding?.addSources(to: &change, table: table, chain: "leave", links: links)
        for block in [pool, poolV6] { change.addRule("leave", table: table, .source(block) + [.masquerade]) }
        return change
    }

    private func addForward(to change: inout Transaction) {
        let refuse: [Expression] = [.reject(.prohibited)]
        let rules: [[Expression]] = [
            .input(links) + .output(links) + refuse,
            .input(links) + .destination(CIDRBlock("169.254.0.0/16")!) + refuse,
            .input(links) + .destination(CIDRBlock("fe80::/10")!) + refuse,
            .connection([.established, .related]) + [.verdict(.accept)],
            .output(links) + [.verdict(.drop)],
        ]
        change.addChain("pass", table: table, base: BaseChain(.filter, .forward, priority: -10, dropsByDefault: false))
        forwarding?.addAdmission(to: &change, table: table, chain: "pass", links: links)
        for rule in rules { change.addRule("pass", table: table, rule) }
    }

    /// Restricts which users of the machine can connect to sandboxes, whose ports often need no login. A packet belongs
    /// to the owner of its socket; packets that the kernel sends itself have no owner and pass if they are replies.
    private func addOutput(to change: inout Transaction) {
        guard let reachableBy else { return }
        change.addChain("ask", table: table)
        change.addRule("ask", table: table, .connection([.established, .related]) + [.verdict(.accept)])
        for type: UInt8 in [133, 134, 135, 136] {
            change.addRule("ask", table: table, .icmpv6(type: type) + [.verdict(.accept)])
        }
        for user in reachableBy.sorted() {
            change.addRule("ask", table: table, .socketUser(user) + [.verdict(.accept)])
        }
        change.addRule("ask", table: table, [.reject(.prohibited)])
        change.addChain("send", table: table, base: BaseChain(.filter, .output, priority: -10, dropsByDefault: false))
        change.addRule("send", table: table, .output(links) + [.verdict(.goto("ask"))])
    }

    private func addInput(to change: inout Transaction) {
        change.addChain("arrive", table: table, base: BaseChain(.filter, .input, priority: -10, dropsByDefault: false))
        change.addRule(
            "arrive", table: table, .input(links) + .connection([.established, .related]) + [.verdict(.accept)])
        for type: UInt8 in [135, 136] {
            change.addRule("arrive", table: table, .input(links) + .icmpv6(type: type) + [.verdict(.accept)])
        }
        change.addRule("arrive", table: table, .input(links) + [.reject(.prohibited)])
    }
}
