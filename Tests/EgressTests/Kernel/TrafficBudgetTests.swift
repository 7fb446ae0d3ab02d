import Addresses
import DNSFilter
import Glibc
import HTTPClient
import Netfilter
import NetworkPolicy
import System
import TestSupport
import Testing

@testable import Egress

/// Budgets that the kernel keeps, by packets in real namespaces; the control is the same traffic without the budget.
@Suite(.serialized) struct TrafficBudgetTests {
    private func run(
        _ set: (inout EgressBudgets) -> Void, body: (GuardedNetwork, EgressNode) async throws -> Void
    ) async throws {
        let guarded = try GuardedNetwork()
        set(&guarded.configuration.budgets)
        let node = try await guarded.node()
        try await node.protect(
            GuardedNetwork.id, namespace: guarded.network.sandbox, policy: GuardedNetwork.policy("deny 198.51.100.0/24")
        )
        do {
            try await body(guarded, node)
        } catch {
            await node.shutdown()
            throw error
        }
        await node.shutdown()
    }

    private func told(_ budget: Budget, _ node: EgressNode) throws -> Bool {
        let guardian = try node.guardian(of: GuardedNetwork.id)
        guardian.readMeter()
        return guardian.watch.log.events(after: nil).events.contains {
            if case .budgetExceeded(budget, let refusals) = $0.event.kind { return refusals > 0 }
            return false
        }
    }

    @Test func `without a budget connections begin as they please`() async throws {
        try await run { _ in
        } body: { (guarded, _) async throws in
            for _ in 0..<30 { #expect(try guarded.stream("198.51.100.1") == .echoed) }
        }
    }

    @Test func `connections a second are refused beyond the burst, and an event says so`() async throws {
        try await run {
            $0.connectionsPerSecond = 3
        } body: { (guarded, node) async throws in
            var outcomes: [Probe.Outcome] = []
            for _ in 0..<30 { outcomes.append(try guarded.stream("198.51.100.1")) }
            #expect(outcomes.prefix(3).allSatisfy { $0 == .echoed } && outcomes.contains(.failed(ECONNREFUSED)))
            #expect(try told(.connectionRate, node))
            #expect(node.counts(limit: 10).first?.budgetRefusals ?? 0 > 0)
            let opens = try await eventually { () throws in try guarded.stream("198.51.100.1") == .echoed }
            #expect(opens, "a second later there is room again")
        }
    }

    @Test func `connections that are open at one time are bounded, and one that ends makes room`() async throws {
        try await run {
            $0.connections = 4
        } body: { (guarded, node) async throws in
            var open: [CInt] = []
            defer { open.forEach { close($0) } }
            for _ in 0..<4 { open.append(try #require(try connection(guarded))) }
            #expect(try connection(guarded) == nil)
            #expect(try told(.connections, node))
        }
    }

    /// A TCP connection to the echo server that stays open, or nil where it is refused.
    private func connection(_ guarded: GuardedNetwork) throws -> CInt? {
        let port = EchoServer.port
        return try guarded.network.sandbox.run { () -> CInt? in
            let made = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
            if RawSocketAddress(IPAddress("198.51.100.1")!, port: port).connect(made) == 0 { return made }
            close(made)
            return nil
        }
    }

    @Test func `bytes are counted over the sandbox's life, whoever guards it`() async throws {
        let guarded = try GuardedNetwork()
        guarded.configuration.budgets.bytesOut = 4000
        func send() throws -> Int {
            var passed = 0
            for _ in 0..<10 where try guarded.datagram("198.51.100.1") == .echoed { passed += 1 }
            return passed
        }
        let first = try await guarded.node()
        try await first.protect(
            GuardedNetwork.id, namespace: guarded.network.sandbox, policy: GuardedNetwork.policy("deny 198.51.100.0/24")
        )
        #expect(try send() == 10)
        await first.shutdown()
        let second = try await guarded.node()
        var passed = 0
        for _ in 0..<30 { passed += try send() }
        #expect(passed > 0 && passed < 300)
        #expect(try told(.bytesOut, second))
        await second.shutdown()

        // A guard without the budget takes it away.
        guarded.configuration.budgets.bytesOut = 0
        let third = try await guarded.node()
        #expect(try send() == 10)
        await third.shutdown()
    }

    @Test
    func `budgets that somebody flushes come back, with the bytes that were sent and the refusals that were not told`()
        async throws
    {
        try await run {
            $0.bytesOut = 4000
        } body: { (guarded, node) async throws in
            let guardian = try node.guardian(of: GuardedNetwork.id), meter = try #require(guardian.meter)
            var passed = 0
            while passed < 200, try guarded.datagram("198.51.100.1") == .echoed { passed += 1 }
            #expect((1..<200).contains(passed), "the budget is used up")
            let told = try meter.refusals()
            #expect(told[.bytesOut] ?? 0 > 0)
            #expect(try guarded.datagram("198.51.100.1") != .echoed)

            // Another table alone: the budgets' refusals are still to be told.
            try Command.run(
                "nsenter", "--net=" + guarded.network.sandbox.path, "nft", "add", "table", "inet", "somebody")
            #expect(try guardian.restore())
            #expect(try guarded.datagram("198.51.100.1") != .echoed, "what was sent stays sent")
            let later = try meter.refusals()
            #expect(later[.bytesOut] ?? 0 >= 2, "one of the rules before, one of those after")

            try Command.run("nsenter", "--net=" + guarded.network.sandbox.path, "nft", "flush", "ruleset")
            #expect(try guardian.restore())
            #expect(try !guardian.restore(), "everything is as it has to be")
            #expect(try guarded.datagram("198.51.100.1") != .echoed, "what was sent stays sent")
            #expect(try meter.refusals()[.bytesOut] ?? 0 > 0)
        }
    }
}
