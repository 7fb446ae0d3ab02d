import Addresses
import Netfilter

/// What the machine's published ports forward to, as rules of its firewall.
///
/// A connection is translated where it enters the machine or leaves one of its programs, and only if its source is
/// permitted; what is not translated finds nothing that listens. The firewall lets in only what was translated. To the
/// sandbox each comes from its gateway, the one peer that its guard takes connections from.
struct PortForwarding: Hashable, Sendable {
    /// A sandbox with published ports.
    struct Target: Hashable, Sendable {
        /// The host's end of its link.
        var link: String
        var address: IPv4Address
        var addressV6: IPv6Address
        var ports: [PublishedPort]
        var sources: SourceList
    }

    let configuration: PortConfiguration
    /// By the sandbox's id.
    var targets: [String: Target] = [:]

    private enum Chain {
        /// For packets that come in, for those of this machine's own programs, and for those that are passed on.
        static let entering = "enter", own = "own", admitted = "admit"
        static let rules = [entering, own, admitted]
    }

    /// The base chains, and those that they jump to.
    func addChains(to change: inout Transaction, table: String) {
        for chain in Chain.rules { change.addChain(chain, table: table) }
        let (range, tcp) = (configuration.range, IPProtocol.tcp)
        for (name, hook, chain) in [
            ("come", BaseChain.Hook.prerouting, Chain.entering), ("call", .output, Chain.own),
        ] {
            change.addChain(name, table: table, base: BaseChain(.nat, hook, priority: -100, dropsByDefault: false))
            change.addRule(
                name, table: table,
                .destinationPorts(range, transport: tcp) + .toLocalAddress + [.verdict(.jump(chain))])
        }
    }

    /// What comes before the other rules about forwarded packets.
    func addAdmission(to change: inout Transaction, table: String, chain: String, links: String) {
        change.addRule(
            chain, table: table, .output(links) + .destinationTranslated + [.verdict(.jump(Chain.admitted))])
    }

    /// What comes before the other rules about the source of packets.
    func addSources(to change: inout Transaction, table: String, chain: String, links: String) {
        for gateway in [SandboxLink.gateway, SandboxLink.gatewayV6] {
            change.addRule(
                chain, table: table,
                .output(links) + .destinationTranslated + .family(isIPv4: gateway.isIPv4) + [.sourceTo(gateway)])
        }
    }

    /// The most rules about targets. All are written with each change of one, in one message to the kernel.
    static let maxRules = 20_000

    /// Whether there would be too many rules.
    var isFull: Bool {
        targets.values.reduce(0) { sum, target in
            let sources = target.sources.limited(to: configuration.sources)
            return sum + target.ports.count * (sources.allow.count + sources.deny.count + 3)
        } > Self.maxRules
    }

    /// Replaces the rules about targets.
    func replaceTargets(in table: String, links: String) -> Transaction {
        var change = Transaction()
        for chain in Chain.rules { change.flushChain(chain, table: table) }
        addTargets(to: &change, table: table, links: links)
        return change
    }

    func addTargets(to change: inout Transaction, table: String, links: String) {
        let leave: [Expression] = [.verdict(.return)]
        func add(_ chain: String, _ rule: [Expression]) { change.addRule(chain, table: table, rule) }
        // A sandbox's gateway is an address of its own link, at which nobody is to find other sandboxes.
        // Nor is loopback, which a sandbox's program may send past its guard.
        for block in [CIDRBlock("169.254.0.0/16")!, CIDRBlock("127.0.0.0/8")!, CIDRBlock("fe80::/10")!] {
            add(Chain.entering, .input(links) + .destination(block) + leave)
        }
        // Nobody else has these addresses, so a packet that comes in with one is forged.
        for block in SourceList.machine.allow { add(Chain.entering, .source(block) + leave) }
        // IPv6 has no way from there to another link.
        add(Chain.own, .destination(CIDRBlock("::1")!) + leave)
        add(Chain.admitted, .connection([.established, .related]) + [.verdict(.accept)])
        for (_, target) in targets.sorted(by: { $0.key < $1.key }) {
            let sources = target.sources.limited(to: configuration.sources)
            for port in target.ports {
                let isCalled: [Expression] = .destinationPort(port.at, transport: IPProtocol.tcp)
                for block in sources.deny { add(Chain.entering, isCalled + .source(block) + leave) }
                for block in sources.allow {
                    add(
                        Chain.entering,
                        isCalled + .source(block) + target.translation(of: port, isIPv4: block.base.isIPv4))
                }
                // A connection to an address of this machine comes from that address. It counts as one from loopback.
                for loopback in [IPAddress("127.0.0.1")!, IPAddress("::1")!] where sources.permits(loopback) {
                    add(
                        Chain.own,
                        isCalled + .family(isIPv4: loopback.isIPv4)
                            + target.translation(of: port, isIPv4: loopback.isIPv4))
                }
                add(
                    Chain.admitted,
                    .output(target.link) + .destinationPort(port.port, transport: IPProtocol.tcp)
                        + [.verdict(.accept)])
            }
        }
    }
}

extension PortForwarding.Target {
    fileprivate func translation(of port: PublishedPort, isIPv4: Bool) -> [Expression] {
        [.destinationTo(isIPv4 ? .v4(address) : .v6(addressV6), port: port.port)]
    }
}
