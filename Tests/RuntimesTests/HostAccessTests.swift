import Addresses
import Netfilter
import NetworkPolicy
import TestSupport
import Testing

@testable import Runtimes

/// The host's side of a sandbox's link, and programs of different users on the host.
@Suite(.serialized) struct HostAccessTests {
    private let network: TestNetwork

    init() throws { network = try TestNetwork() }

    private func firewall(_ users: Set<UInt32>?) -> HostFirewall {
        HostFirewall(
            table: "sallyport_test", pool: CIDRBlock("10.98.0.0/30")!, poolV6: CIDRBlock("fd00:98::/64")!,
            links: "eth*",
            reachableBy: users)
    }

    /// Whether a program of that user gets a connection.
    private func connects(_ user: UInt32, to address: String) -> Bool {
        let dial = "exec 3<>/dev/tcp/\(address)/7"
        let words = [
            "nsenter", "--net=\(network.sandbox.path)", "setpriv", "--reuid=\(user)", "--clear-groups", "bash", "-c",
            dial,
        ]
        return (try? Command.run(["timeout", "5"] + words)) != nil
    }

    @Test func `only programs of the users that are named connect to sandboxes`() throws {
        let echo = try EchoServer(in: network.outside)
        defer { withExtendedLifetime(echo) {} }
        // What is the outside to the network is a sandbox here.
        let sandbox = "198.51.100.1"
        #expect(connects(0, to: sandbox) && connects(65534, to: sandbox), "control: without rules both do")
        let cases: [(users: Set<UInt32>?, allowed: [UInt32], refused: [UInt32])] = [
            ([0], [0], [65534, 1000]), ([0, 1000], [0, 1000], [65534]), (nil, [0, 1000, 65534], []),
        ]
        for (users, allowed, refused) in cases {
            let firewall = firewall(users)
            _ = try network.sandbox.run { try StandingFirewall(firewall) }
            for user in allowed { #expect(connects(user, to: sandbox), "\(user) of \(users.debugDescription)") }
            for user in refused { #expect(!connects(user, to: sandbox), "\(user) of \(users.debugDescription)") }
        }
    }

    /// R7: a service of the machine that begins by emptying all tables, as nftables.service does.
    @Test(arguments: [
        "flush ruleset", "delete table inet sallyport_test", "flush table inet sallyport_test",
        "flush chain inet sallyport_test send",
    ]) func `rules that another program takes away are put back`(_ change: String) throws {
        let echo = try EchoServer(in: network.outside)
        defer { withExtendedLifetime(echo) {} }
        let standing = try network.sandbox.run { try StandingFirewall(firewall([0])) }
        func nft(_ words: String) throws {
            try Command.run("nsenter", "--net=\(network.sandbox.path)", "nft", words)
        }
        #expect(try !standing.restore(), "nobody has changed anything")
        try nft("add table inet another")
        #expect(try !standing.restore(), "what leaves them alone is left alone")
        try nft(change)
        #expect(connects(65534, to: "198.51.100.1"), "control: now everybody does")
        #expect(try standing.restore())
        #expect(!connects(65534, to: "198.51.100.1") && connects(0, to: "198.51.100.1"))
        #expect(try !standing.restore(), "once is enough")
    }
}
