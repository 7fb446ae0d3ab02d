import Glibc
import Netfilter
import NetworkPolicy
import TestSupport
import Testing

@testable import Egress
@testable import EgressSidecar
@testable import FlowCheck

/// Whoever runs a machine looks at rules by `nft list ruleset`: it must come to its end, and say what is there.
@Suite(.serialized) struct ListingTests {
    /// What nft(8) lists, as text; that it lists the same as JSON is checked beside it.
    private func listing(_ namespace: NetworkNamespace, _ folder: String) throws -> String {
        let nft = "nsenter --net=\(namespace.path) nft"
        // A pipe would hide how nft ends.
        try Command.run("sh", "-c", "\(nft) list ruleset > \(folder)/rules.txt")
        try Command.run("sh", "-c", "\(nft) -j list ruleset > \(folder)/rules.json")
        try Command.run("sh", "-c", "python3 -m json.tool \(folder)/rules.json > /dev/null")
        return String(decoding: try RunningSidecar.contents(folder + "/rules.txt"), as: UTF8.self)
    }

    @Test(arguments: [FlowCheckSettings?.none, FlowCheckSettings(uncheckedPorts: [22])])
    func `nft lists a guarded namespace with what names have taught`(_ flowCheck: FlowCheckSettings?) async throws {
        let guarded = try GuardedNetwork(flowCheck: flowCheck)
        (guarded.configuration.budgets.bytesOut, guarded.configuration.budgets.connections) = (1 << 20, 100)
        let node = try await guarded.node()
        try await node.protect(
            GuardedNetwork.id, namespace: guarded.network.sandbox,
            policy: Policy(
                defaultAction: .deny,
                rules: [
                    Rule(action: .allow, text: "one.example"), Rule(action: .allow, text: "203.0.113.0/24"),
                    Rule(action: .deny, text: "2001:db8:7::/48"),
                    Rule(action: .allow, text: "192.0.2.7", scope: TrafficScope(transport: .tcp, ports: [443...443])),
                ]))
        for type in [DNSMessages.a, DNSMessages.aaaa] {
            #expect(try !guarded.resolve("one.example", type: type).isEmpty)
        }
        let text = try listing(guarded.network.sandbox, guarded.folder)
        for part in [
            "203.0.113.0/24", "198.51.100.1", "2001:db8::1", "table inet sallyport_budget", #"comment "one.example""#,
        ] {
            #expect(text.contains(part))
        }
        for map in ["learned4", "learned6", "blocks4", "blocks6"] {
            let family = map.hasSuffix("4") ? "ip" : "ip6"
            #expect(
                text.contains("\(family) daddr vmap @profiles comment \"by its number in @\(map)\""),
                "a rule names both maps")
        }
        #expect(text.contains("vmap @checked") == (flowCheck != nil))
        await node.shutdown()
    }

    @Test(arguments: ["dns", "dns+nft", "dns+nft+sni"])
    func `nft lists a sidecar's namespace`(_ mode: String) async throws {
        let sidecar = try RunningSidecar()
        try await sidecar.serve([
            "MODE": mode, "BUDGET_BYTES_OUT": "1000000",
            "RULES":
                #"{"egress":[{"action":"allow","target":"one.example"},{"action":"allow","target":"203.0.113.0/24"}]}"#,
        ])
        #expect(try sidecar.resolve("one.example") == ["198.51.100.1"])
        let text = try listing(sidecar.network.sandbox, sidecar.folder)
        #expect(text.contains("table inet sallyport_sidecar") && text.contains("table netdev sallyport_packets"))
        #expect(text.contains("203.0.113.0/24") == (mode != "dns"))
    }
}
