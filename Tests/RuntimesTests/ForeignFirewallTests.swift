import Addresses
import Netfilter
import NetworkPolicy
import TestSupport
import Testing

@testable import Runtimes

/// A host between a sandbox and the outside, with a firewall of somebody else's, as Docker leaves it.
@Suite(.serialized) struct ForeignFirewallTests {
    private let network: TestNetwork
    private let host: NetworkNamespace
    private let firewall = HostFirewall(
        table: "sallyport_test", pool: CIDRBlock("10.98.0.0/30")!, poolV6: CIDRBlock("fd00:98::/64")!, links: "box*")

    init() throws {
        // What is a sandbox to the network is the host here.
        network = try TestNetwork()
        host = network.sandbox
        try inside("ip", "link", "add", "box0", "type", "veth", "peer", "name", "box-end")
        try inside("ip", "address", "add", "10.98.0.1/30", "dev", "box0")
        try inside("ip", "link", "set", "box0", "up")
        try inside("sysctl", "-qw", "net.ipv4.ip_forward=1")
    }

    private func inside(_ words: String...) throws {
        try Command.run("nsenter", "--net=\(host.path)", "sh", "-c", words.joined(separator: " "))
    }

    private func withSandbox(_ body: (NetworkNamespace) throws -> Void) throws {
        let sandbox = try NetworkNamespace.create(named: "spt-\(UInt32.random(in: 0 ... .max))")
        defer { try? sandbox.delete() }
        try inside("ip", "link", "set", "box-end", "netns", sandbox.path)
        for words in ["address add 10.98.0.2/30 dev box-end", "link set box-end up", "route add default via 10.98.0.1"]
        {
            try sandbox.ip(words)
        }
        try body(sandbox)
    }

    @Test func `a chain of others that drops is found, and what is said of it helps`() throws {
        let echo = try EchoServer(in: network.outside)
        defer { withExtendedLifetime(echo) {} }
        try withSandbox { sandbox in
            #expect(try host.run { try StandingFirewall(firewall).obstacles } == [])
            #expect(try Probe.stream("198.51.100.1", from: sandbox) == .echoed)
            try inside("nft", "add table ip filter")
            try inside("nft", "'add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'")
            try inside("nft", "'add chain ip filter INPUT { type filter hook input priority 0; policy drop; }'")
            try inside("nft", "'add chain ip6 filter FORWARD'", "2>/dev/null", "||", "true")
            let found = try host.run { try StandingFirewall(firewall).obstacles }
            #expect(found.map(\.description) == ["ip filter FORWARD"])
            #expect(try Probe.stream("198.51.100.1", from: sandbox) != .echoed)
            for rule in firewall.passage(through: found[0]) { try inside(rule.replacing("\"", with: "\\\"")) }
            #expect(try Probe.stream("198.51.100.1", from: sandbox) == .echoed)
        }
    }
}
