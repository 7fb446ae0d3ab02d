import Glibc
import Netfilter
import NetworkPolicy
import TestSupport
import Testing

@testable import Egress

@Suite(.serialized) struct RevocationTests {
    private func open(_ guarded: GuardedNetwork, _ address: String) throws -> CInt {
        let (descriptor, status) = try Probe.open(
            Int32(SOCK_STREAM.rawValue), to: address, port: EchoServer.port, from: guarded.network.sandbox)
        try #require(status == 0)
        return descriptor
    }

    @Test func `E15 an open connection dies when its name is revoked, and others live on`() async throws {
        try await GuardedNetwork.run("deny one.example two.example") { (guarded, node) async throws in
            _ = try guarded.resolve("one.example")
            _ = try guarded.resolve("two.example")
            let revoked = try open(guarded, "198.51.100.1"), kept = try open(guarded, "198.51.100.2")
            defer {
                close(revoked)
                close(kept)
            }
            #expect(Probe.say("a", on: revoked) == .echoed && Probe.say("b", on: kept) == .echoed)
            let status = try await node.removeRules(GuardedNetwork.id, [RuleSelector("one.example")])
            #expect(status.policy.rules.map(\.text) == ["two.example"])
            #expect(Probe.say("c", on: revoked) != .echoed, "dead once the answer is there")
            #expect(Probe.say("d", on: kept) == .echoed)
            #expect(try guarded.stream("198.51.100.1") == .failed(ECONNREFUSED))
            #expect(try guarded.resolve("one.example").isEmpty)
        }
    }

    @Test func `a patch opens at run time and goes before what was there`() async throws {
        try await GuardedNetwork.run("deny") { (guarded, node) async throws in
            try await node.patch(GuardedNetwork.id, [Rule(action: .allow, text: "one.example")])
            #expect(try guarded.resolve("one.example") == ["198.51.100.1"])
            #expect(try guarded.stream("198.51.100.1") == .echoed)
            try await node.patch(GuardedNetwork.id, [Rule(action: .deny, text: "ONE.example.")])
            #expect(try guarded.stream("198.51.100.1") == .failed(ECONNREFUSED))
            let rules = try await node.status(GuardedNetwork.id).policy.rules
            #expect(rules.map(\.action) == [.deny])
        }
    }

    @Test func `changing the default action reaches flows that nothing else allowed`() async throws {
        try await GuardedNetwork.run("allow") { (guarded, node) async throws in
            let connection = try open(guarded, "198.51.100.1")
            defer { close(connection) }
            #expect(Probe.say("a", on: connection) == .echoed)
            try await node.replace(GuardedNetwork.id, with: .denyAll)
            #expect(Probe.say("b", on: connection) != .echoed)
            try await node.replace(GuardedNetwork.id, with: .allowAll)
            #expect(try guarded.stream("198.51.100.1") == .echoed)
        }
    }

    @Test func `concurrent patches lose nothing`() async throws {
        try await GuardedNetwork.run("deny") { (_, node) async throws in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<60 {
                    group.addTask {
                        try await node.patch(
                            GuardedNetwork.id,
                            [
                                Rule(action: .allow, text: "n\(number).example"),
                                Rule(action: .allow, text: "198.51.100.\(number)"),
                            ])
                    }
                }
                try await group.waitForAll()
            }
            let targets = Set(try await node.status(GuardedNetwork.id).policy.rules.map(\.text))
            #expect(targets.count == 120)
        }
    }

    @Test func `E21 a policy that is too large changes nothing`() async throws {
        try await GuardedNetwork.run("deny one.example") { (guarded, node) async throws in
            let many = try (0..<5000).map { try Rule(action: .allow, text: "n\($0).example") }
            await #expect(throws: EgressError.self) { try await node.patch(GuardedNetwork.id, many) }
            let rules = try await node.status(GuardedNetwork.id).policy.rules
            #expect(rules.count == 1)
            #expect(try guarded.resolve("one.example") == ["198.51.100.1"])
        }
    }

    @Test func `E22 a policy that the disk does not take is not in force`() async throws {
        try await GuardedNetwork.run("deny one.example") { (guarded, node) async throws in
            // Root writes through any permission: a folder that is gone refuses everybody.
            try Command.run("mv", guarded.configuration.stateDirectory, guarded.folder + "/away")
            await #expect(throws: EgressError.self) {
                try await node.patch(GuardedNetwork.id, [Rule(action: .allow, text: "two.example")])
            }
            #expect(try guarded.resolve("two.example").isEmpty)
            #expect(try guarded.resolve("one.example") == ["198.51.100.1"])
            try Command.run("mv", guarded.folder + "/away", guarded.configuration.stateDirectory)
            try await node.patch(GuardedNetwork.id, [Rule(action: .allow, text: "two.example")])
            #expect(try guarded.resolve("two.example") == ["198.51.100.2"])
        }
    }
}

@Suite(.serialized) struct RecoveryTests {
    @Test func `E22 enforcement outlives the node, and the next one takes over what was learned`() async throws {
        let guarded = try GuardedNetwork()
        let first = try await guarded.node()
        let namespace = guarded.network.sandbox
        try await first.protect(
            GuardedNetwork.id, namespace: namespace, policy: GuardedNetwork.policy("deny one.example"))
        let token = try await first.token(of: GuardedNetwork.id)
        _ = try guarded.resolve("one.example")
        let (connection, status) = try Probe.open(
            Int32(SOCK_STREAM.rawValue), to: "198.51.100.1", port: EchoServer.port, from: namespace)
        defer { close(connection) }
        #expect(status == 0 && Probe.say("before", on: connection) == .echoed)
        await first.shutdown()

        #expect(Probe.say("meanwhile", on: connection) == .echoed)
        #expect(try guarded.stream("198.51.100.2") == .failed(ECONNREFUSED))
        #expect(try guarded.stream("198.51.100.1") == .echoed, "what was learned stays open for its time")

        let second = try await guarded.node()
        #expect(second.guarded == [GuardedNetwork.id])
        #expect(try await second.token(of: GuardedNetwork.id) == token)
        #expect(Probe.say("after", on: connection) == .echoed)
        #expect(try guarded.stream("198.51.100.1") == .echoed)
        #expect(try guarded.stream("198.51.100.2") == .failed(ECONNREFUSED))
        #expect(try guarded.resolve("one.example") == ["198.51.100.1"], "names resolve again")
        try await second.removeRules(GuardedNetwork.id, [RuleSelector("one.example")])
        #expect(Probe.say("revoked", on: connection) != .echoed, "the name of a learned address is known still")
        await second.shutdown()
    }

    @Test func `a sandbox whose namespace is gone is forgotten`() async throws {
        let guarded = try GuardedNetwork()
        let first = try await guarded.node()
        try await first.protect(GuardedNetwork.id, namespace: guarded.network.sandbox, policy: .denyAll)
        await first.shutdown()
        try guarded.network.sandbox.delete()
        let second = try await guarded.node()
        #expect(second.guarded.isEmpty)
        await second.shutdown()
    }

    @Test func `a released sandbox leaves no file and can be guarded again`() async throws {
        try await GuardedNetwork.run("deny one.example") { (guarded, node) async throws in
            await node.release(GuardedNetwork.id)
            #expect(node.guarded.isEmpty)
            await #expect(throws: EgressError.notGuarded(GuardedNetwork.id)) {
                try await node.status(GuardedNetwork.id)
            }
            try await node.protect(GuardedNetwork.id, namespace: guarded.network.sandbox, policy: .denyAll)
            #expect(try guarded.stream("198.51.100.1") == .failed(ECONNREFUSED))
        }
    }
}
