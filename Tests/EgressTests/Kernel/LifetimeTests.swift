import DNSFilter
import Glibc
import Logging
import NetworkPolicy
import TestSupport
import Testing

@testable import Egress

/// How long a learned address is open, in a real namespace (THREATS.md, E16).
@Suite(.serialized) struct LifetimeTests {
    @Test func `E16 what flows goes on when the record ends, what begins does not, and asking again opens`()
        async throws
    {
        let guarded = try GuardedNetwork()
        let upstream = UpstreamServer(GuardedNetwork.names, timeToLive: 1)
        var configuration = guarded.configuration
        configuration.dns = DNSConfiguration(
            upstreams: [UpstreamAddress(address: IPAddress("127.0.0.1")!, port: upstream.port)])
        configuration.minimumLifetime = 1
        configuration.lifetimeGrace = 1
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let node = try await EgressNode(configuration: configuration, logger: logger)
        do {
            try await node.protect(
                GuardedNetwork.id, namespace: guarded.network.sandbox, policy: GuardedNetwork.policy("deny one.example")
            )
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
        } catch {
            await node.shutdown()
            throw error
        }
        await node.shutdown()
    }
}
