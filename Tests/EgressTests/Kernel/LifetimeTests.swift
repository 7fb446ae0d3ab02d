import Addresses
import DNSFilter
import Glibc
import Logging
import NetworkPolicy
import Synchronization
import TestSupport
import Testing

@testable import Egress

/// How long a learned address is open, in a real namespace (docs/threats.md, E16).
@Suite(.serialized) struct LifetimeTests {
    /// Runs `body` with records that last for a second.
    /// - Parameter least: seconds for which an address is open at least, and a second of grace more.
    private func run(
        _ policy: String, least: UInt32 = 1, _ body: (GuardedNetwork, EgressNode, UpstreamServer) async throws -> Void
    ) async throws {
        let guarded = try GuardedNetwork()
        let upstream = UpstreamServer(GuardedNetwork.names, timeToLive: 1)
        var configuration = guarded.configuration
        configuration.dns = DNSConfiguration(
            upstreams: [UpstreamAddress(address: IPAddress("127.0.0.1")!, port: upstream.port)])
        configuration.minimumLifetime = least
        configuration.lifetimeGrace = 1
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let node = try await EgressNode(configuration: configuration, logger: logger)
        do {
            try await node.protect(
                GuardedNetwork.id, namespace: guarded.network.sandbox, policy: GuardedNetwork.policy(policy))
            try await body(guarded, node, upstream)
        } catch {
            await node.shutdown()
            throw error
        }
        await node.shutdown()
    }

    @Test func `E16 what flows goes on when the record ends, what begins does not, and asking again opens`()
        async throws
    {
        try await run("deny one.example") { (guarded, _, upstream) async throws in
            #expect(try guarded.resolve("one.example") == ["198.51.100.1"])
            var flows: [CInt] = []
            for kind in [SOCK_STREAM, SOCK_DGRAM] {
                let (flow, status) = try Probe.open(
                    Int32(kind.rawValue), to: "198.51.100.1", port: EchoServer.port, from: guarded.network.sandbox)
                #expect(status == 0 && Probe.say("first", on: flow) == .echoed)
                flows.append(flow)
            }
            #expect(
                try await eventually { try guarded.stream("198.51.100.1") == .failed(ECONNREFUSED) },
                "the address closes when its time is up")
            for flow in flows { #expect(Probe.say("still", on: flow) == .echoed, "a live flow is not dropped") }
            #expect(try guarded.resolve("one.example") == ["198.51.100.1"])
            #expect(try guarded.stream("198.51.100.1") == .echoed)
            for flow in flows {
                #expect(Probe.say("and still", on: flow) == .echoed)
                close(flow)
            }
            #expect(upstream.questions.filter { $0 == "one.example" }.count == 2, "the record was not kept for longer")
        }
    }

    @Test func `E16 an address in use stays open, one that is not closes, and neither a revoked one`() async throws {
        // Long enough for a machine that is busy: a renewal that comes too late opens nothing again.
        try await run("deny one.example two.example", least: 7) { (guarded, node, _) async throws in
            #expect(try guarded.resolve("one.example") == ["198.51.100.1"])
            #expect(try guarded.resolve("two.example") == ["198.51.100.2"])
            let (flow, status) = try Probe.open(
                Int32(SOCK_STREAM.rawValue), to: "198.51.100.1", port: EchoServer.port, from: guarded.network.sandbox)
            defer { close(flow) }
            #expect(status == 0)
            let isClosed = try await eventually {
                await node.renewLearned()
                let guardian = try node.guardian(of: GuardedNetwork.id)
                let unused = IPAddress("198.51.100.2")!
                return guardian.state.withLock { !$0.learned.isLive(unused, now: guardian.settings.now()) }
            }
            #expect(isClosed)
            #expect(
                try await eventually { try guarded.stream("198.51.100.2") == .failed(ECONNREFUSED) },
                "nothing flows to the second address")
            #expect(try guarded.stream("198.51.100.1") == .echoed, "the first one's time was up as long ago")
            try await node.replace(GuardedNetwork.id, with: GuardedNetwork.policy("deny two.example"))
            await node.renewLearned()
            #expect(try guarded.stream("198.51.100.1") == .failed(ECONNREFUSED))
        }
    }
}
