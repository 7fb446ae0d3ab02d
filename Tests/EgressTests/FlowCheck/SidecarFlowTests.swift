import Glibc
import Netfilter
import NetworkPolicy
import TestSupport
import Testing

@testable import Egress
@testable import EgressSidecar
@testable import FlowCheck

/// The check in a namespace that it shares with the sandbox.
@Suite(.serialized) struct SidecarFlowTests {
    private static let rules = #"{"egress":[{"action":"allow","target":"one.example"}]}"#

    private func hello(_ name: String, _ address: String, _ sidecar: RunningSidecar) throws -> [UInt8] {
        let client = try NamedClient(address, 443, from: sidecar.network.sandbox)
        guard client.status == 0 else { return [] }
        client.send(TestHello(name).bytes)
        return client.read(NamedServer.serverHello.count)
    }

    @Test func `E4 E5 names are checked in the mode that says so, and only there`() async throws {
        for mode in ["dns+nft+sni", "dns+nft"] {
            let sidecar = try RunningSidecar()
            let server = try NamedServer(in: sidecar.network.outside)
            try await sidecar.serve(["RULES": Self.rules, "MODE": mode, "UNCHECKED_PORTS": "7"])
            #expect(try sidecar.call("GET", "/policy").text.contains(#""enforcementMode":"\#(mode)""#))
            for (address, type) in [("198.51.100.1", DNSMessages.a), ("2001:db8::1", DNSMessages.aaaa)] {
                #expect(try sidecar.resolve("one.example", type: type) == [address])
                #expect(try hello("one.example", address, sidecar) == NamedServer.serverHello)
                let other = try hello("tenant.example", address, sidecar)
                #expect(other == (mode == "dns+nft" ? NamedServer.serverHello : [21, 3, 3, 0, 2, 2, 112]))
                #expect(try sidecar.stream(address) == .echoed, "a port that is not checked")
            }
            #expect(server.met == (mode == "dns+nft" ? 4 : 2))
        }
    }

    @Test func `E15 a revocation ends checked flows`() async throws {
        let sidecar = try RunningSidecar()
        let server = try NamedServer(in: sidecar.network.outside)
        try await sidecar.serve(["RULES": Self.rules, "MODE": "dns+nft+sni"])
        _ = try sidecar.resolve("one.example")
        let client = try NamedClient("198.51.100.1", 443, from: sidecar.network.sandbox)
        client.send(TestHello("one.example").bytes)
        #expect(client.read(NamedServer.serverHello.count) == NamedServer.serverHello)
        #expect(try sidecar.call("DELETE", "/policy", #"["one.example"]"#).status == 200)
        #expect(client.isOver && server.met == 1)
    }

    @Test func `a mode or a port that is none is refused`() throws {
        #expect(throws: SidecarConfigurationError.self) {
            try SidecarConfiguration(environment: ["OPENSANDBOX_EGRESS_MODE": "dns+sni"])
        }
        for ports in ["0", "x", "1,70000", "1;2"] {
            #expect(throws: SidecarConfigurationError.self, "\(ports)") {
                try SidecarConfiguration(environment: ["OPENSANDBOX_EGRESS_UNCHECKED_PORTS": ports])
            }
        }
        let configuration = try SidecarConfiguration(environment: [
            "OPENSANDBOX_EGRESS_MODE": "dns+nft+sni", "OPENSANDBOX_EGRESS_UNCHECKED_PORTS": "22, 8443",
        ])
        #expect(configuration.flowCheck?.uncheckedPorts == [22, 8443])
    }
}
