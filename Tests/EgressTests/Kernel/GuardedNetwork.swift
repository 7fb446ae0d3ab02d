import Addresses
import DNSFilter
import Glibc
import Logging
import Netfilter
import NetworkPolicy
import TestSupport

@testable import Egress
@testable import FlowCheck

/// A node that guards one sandbox, with an outside to reach and an upstream to ask.
final class GuardedNetwork: Sendable {
    static let id = "sandbox-1"

    let network: TestNetwork
    let echo: EchoServer
    let upstream: UpstreamServer
    let folder: String
    nonisolated(unsafe) var configuration: EgressConfiguration

    static let names = [
        "one.example": ["198.51.100.1", "2001:db8::1"], "two.example": ["198.51.100.2", "2001:db8::2"],
        "tenant.example": ["198.51.100.1", "2001:db8::1"],
        "rebind.example": ["127.0.0.1", "10.99.0.1", "169.254.169.254", "::ffff:198.51.100.1"],
        "sub.wild.example": ["198.51.100.1"], "wild.example": ["198.51.100.1"], "notwild.example": ["198.51.100.1"],
    ]

    init(flowCheck: FlowCheckSettings? = nil) throws {
        network = try TestNetwork()
        echo = try EchoServer(in: network.outside)
        upstream = UpstreamServer(Self.names)
        folder = "/tmp/spt-egress-\(UInt32.random(in: .min ... .max))"
        mkdir(folder, 0o700)
        configuration = EgressConfiguration(
            stateDirectory: folder + "/state", socketPath: folder + "/policy.sock",
            adminSocketPath: folder + "/admin.sock",
            dns: DNSConfiguration(upstreams: [UpstreamAddress(address: IPAddress("127.0.0.1")!, port: upstream.port)]),
            flowCheck: flowCheck)
    }

    deinit { try? Command.run("rm", "-rf", folder) }

    func node() async throws -> EgressNode {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return try await EgressNode(configuration: configuration, logger: logger)
    }

    /// Runs `body` with the sandbox guarded by `policy`.
    static func run(
        _ policy: String, flowCheck: FlowCheckSettings? = nil,
        _ body: (GuardedNetwork, EgressNode) async throws -> Void
    ) async throws {
        let guarded = try GuardedNetwork(flowCheck: flowCheck)
        let node = try await guarded.node()
        try await node.protect(id, namespace: guarded.network.sandbox, policy: Self.policy(policy))
        do {
            try await body(guarded, node)
        } catch {
            await node.shutdown()
            throw error
        }
        await node.shutdown()
    }

    /// `deny one.example 10.0.0.0/8` reads as: everything denied but those; `allow …` the other way round.
    static func policy(_ text: String) throws -> Policy {
        let words = text.split(separator: " ").map(String.init)
        let isDenying = words[0] == "deny"
        let rules = try words.dropFirst().map { try Rule(action: isDenying ? .allow : .deny, text: $0) }
        return Policy(defaultAction: isDenying ? .deny : .allow, rules: rules)
    }

    func resolve(_ name: String, type: UInt16 = DNSMessages.a) throws -> [String] {
        try DNSMessages.resolve(name, type: type, from: network.sandbox).addresses.map(\.description)
    }
    func stream(_ address: String) throws -> Probe.Outcome { try Probe.stream(address, from: network.sandbox) }
    func datagram(_ address: String) throws -> Probe.Outcome { try Probe.datagram(address, from: network.sandbox) }
}
