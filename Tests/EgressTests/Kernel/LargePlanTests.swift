import Glibc
import Netfilter
import NetworkPolicy
import Synchronization
import TestSupport
import Testing

@testable import Egress

/// Plans that are spread over many maps, in the real kernel.
@Suite(.serialized) struct LargePlanTests {
    @Test func `ten thousand blocks, and a patch of one of them, decide as each alone`() async throws {
        let guarded = try GuardedNetwork()
        guarded.configuration.maxRules = 20_000
        let node = try await guarded.node()
        // None of these is the echo server's, whose address lies amid them.
        let many = try (0..<10_000).map { number in
            try Rule(action: .allow, text: "198.\(number / 128 % 200).\(number / 25600).\(number % 128 * 2)/32")
        }
        try await node.protect(
            GuardedNetwork.id, namespace: guarded.network.sandbox, policy: Policy(defaultAction: .deny, rules: many))
        let parts = try node.guardian(of: GuardedNetwork.id).state.withLock { $0.ruleset.parts }
        #expect(parts.count(isIPv4: true) > 1)
        for block in ["198.51.100.0/24", "198.51.100.1", "192.0.0.0/3"] {
            #expect(try guarded.stream("198.51.100.1") == .failed(ECONNREFUSED))
            try await node.patch(GuardedNetwork.id, [Rule(action: .allow, text: block)])
            #expect(try guarded.stream("198.51.100.1") == .echoed, "\(block)")
            try await node.removeRules(GuardedNetwork.id, [RuleSelector(block)])
        }
        #expect(try guarded.stream("198.51.100.1") == .failed(ECONNREFUSED))
        let listing = "nsenter --net=\(guarded.network.sandbox.path) nft list ruleset > \(guarded.folder)/rules"
        try Command.run("sh", "-c", listing)
        await node.shutdown()

        // What a later guard makes of it.
        let second = try await guarded.node()
        #expect(try guarded.stream("198.51.100.1") == .failed(ECONNREFUSED))
        try await second.patch(GuardedNetwork.id, [Rule(action: .allow, text: "198.0.0.0/8")])
        #expect(try guarded.stream("198.51.100.1") == .echoed)
        await second.shutdown()
    }

    @Test func `a plan that grows far beyond its parts gets others, and still decides`() async throws {
        let guarded = try GuardedNetwork()
        guarded.configuration.maxRules = 20_000
        let node = try await guarded.node()
        try await node.protect(
            GuardedNetwork.id, namespace: guarded.network.sandbox, policy: GuardedNetwork.policy("deny 198.51.100.1"))
        let many = try (0..<9000).map { number in
            try Rule(action: .allow, text: "203.\(number / 128 % 200).\(number / 25600).\(number % 128 * 2)/32")
        }
        try await node.patch(GuardedNetwork.id, many)
        let parts = try node.guardian(of: GuardedNetwork.id).state.withLock { $0.ruleset.parts }
        #expect(parts.count(isIPv4: true) > 1)
        #expect(try guarded.stream("198.51.100.1") == .echoed && guarded.stream("198.51.100.2") != .echoed)
        try await node.removeRules(GuardedNetwork.id, [RuleSelector("198.51.100.1")])
        #expect(try guarded.stream("198.51.100.1") == .failed(ECONNREFUSED))
        await node.shutdown()
    }
}
