import Addresses
import Glibc
import Netfilter
import NetworkPolicy
import Synchronization
import TestSupport
import Testing

@testable import Egress

/// Metadata services inside IPv6 addresses, by packets in real namespaces and by the rules as values.
@Suite(.serialized) struct EmbeddedMetadataTests {
    private static let metadata = [
        "64:ff9b::a9fe:a9fe", "64:ff9b::6464:64c8", "64:ff9b::a83f:8110", "64:ff9b:1::a9fe:a9fe",
        "64:ff9b:1:ffff:a9:fea9:fe00:0", "64:ff9b:1:77a9:fe:a9fe::", "64:ff9b:1:a9fe:a9:fe00::", "2002:a9fe:a9fe::1",
        "2001:0:a9fe:a9fe::1", "2001:0:c633:6401::5601:5601", "2001:db8:7::5efe:a9fe:a9fe",
        "2001:db8:7::200:5efe:a9fe:a9fe", "::ffff:0:a9fe:a9fe", "::a9fe:a9fe",
    ]
    /// The same forms with an address that nobody closes.
    private static let others = [
        "64:ff9b::c633:6401", "64:ff9b:1::c633:6401", "2002:c633:6401::1", "2001:db8:7::5efe:c633:6401",
        "2001:db8:7::a9fe:a9fe",
    ]

    @Test func `E8 no policy opens them, and their neighbours are as open as the policy says`() async throws {
        try await GuardedNetwork.run("allow") { (guarded, node) async throws in
            for address in Self.metadata + Self.others {
                try guarded.network.outside.ip("address add \(address)/128 dev lo nodad")
            }
            for address in Self.others { #expect(try guarded.stream(address) == .echoed, "\(address)") }
            for address in Self.metadata {
                #expect(try guarded.stream(address) != .echoed, "\(address)")
                #expect(try guarded.datagram(address) != .echoed, "\(address)")
            }
            let every = Policy(defaultAction: .deny, rules: [try Rule(action: .allow, text: "any://::/0")])
            try await node.replace(GuardedNetwork.id, with: every)
            for address in Self.others { #expect(try guarded.stream(address) == .echoed, "\(address)") }
            for address in Self.metadata { #expect(try guarded.stream(address) != .echoed, "\(address)") }
            let question = PolicyQuestion(target: .address(IPAddress(Self.metadata[0])!))
            let verdict = try node.guardian(of: GuardedNetwork.id).explain(question).verdict
            #expect(!verdict.isAllowed && "\(verdict)".contains("no policy opens this address"))
        }
    }

    @Test func `E8 the rules and the guard's own judgement agree`() throws {
        let ruleset = try SandboxRuleset(
            dnsPort: 4000, plan: .open, alwaysDeny: EgressConfiguration.neverOpen, neighbours: [])
        let kernel = InterpretedKernel()
        try kernel.install(ruleset, learned: [])
        let table = kernel.table.withLock { $0 }
        for text in Self.metadata + Self.others {
            let address = try #require(IPAddress(text))
            let isOpen = Self.others.contains(text)
            #expect(table.action(.init(address, .tcp(port: 80))) == (isOpen ? .allow : .deny), "\(text)")
            #expect(ruleset.protected.contains(address) != isOpen, "\(text)")
        }
    }
}
