import Foundation
import Ingress
import JSON
import Runtimes
import Testing

@testable import ControlPlane

@Suite struct SandboxNetworkTests {
    @Test func `a record of the last release says where its sandbox is`() throws {
        let text = #"{"namespacePath":"/run/netns/x","address":"10.0.0.2","addressV6":"fd00::2"}"#
        let network: SandboxNetwork = try JSONValue(text.utf8).decode()
        let placement = SandboxPlacement(
            .namespace(path: "/run/netns/x"), .machine(address: "10.0.0.2", addressV6: "fd00::2"))
        #expect(network == SandboxNetwork(placement))
    }

    @Test func `a sidecar's token is not stored`() throws {
        let network = SandboxNetwork(
            SandboxPlacement(
                .sidecar(PolicyEndpoint(host: "10.1.0.1", port: 18080, token: "secret")),
                .published(host: "192.0.2.1", ports: [44772: 40001, 8080: 40002])))
        let text = String(decoding: try JSONEncoder().encode(network), as: UTF8.self)
        #expect(!text.contains("secret"))
        #expect(try JSONValue(text.utf8).decode(SandboxNetwork.self) == network)
    }

    @Test
    func `of a sandbox that shares the machine's network every port is dialled from inside, some under other numbers`()
        throws
    {
        let routes = RouteTable(policySocket: "/none", credentialKey: [1])
        var sandbox = Sandbox.sample("a")
        sandbox.network = SandboxNetwork(SandboxPlacement(.absent, .shared(ports: [44772: 40001, 44771: 40002])))
        let text = try JSONEncoder().encode(sandbox.network)
        #expect(try JSONValue([UInt8](text)).decode(SandboxNetwork.self) == sandbox.network)
        routes.set("a", sandbox)
        #expect(routes.enterable(sandbox.incarnation) == "a")
        for (port, target) in [(44772, 40001), (44771, 40002), (22, 22), (8000, 8000)] {
            guard case .found(let backend) = routes.lookup(sandbox: "a", port: port) else {
                Issue.record("\(port)")
                continue
            }
            #expect(backend.address == .tcp(host: "127.0.0.1", port: target) && backend.isInside)
        }
    }

    @Test func `of a machine with published ports no other port is dialled`() throws {
        let routes = RouteTable(policySocket: "/none", credentialKey: [1])
        var sandbox = Sandbox.sample("a")
        sandbox.network = SandboxNetwork(
            SandboxPlacement(
                .sidecar(PolicyEndpoint(host: "192.0.2.1", port: 40003, token: "t")),
                .published(host: "192.0.2.1", ports: [44772: 40001, 8080: 40002])))
        routes.set("a", sandbox)
        for (port, target) in [(44772, 40001), (8080, 40002), (18080, 40003)] {
            guard case .found(let backend) = routes.lookup(sandbox: "a", port: port) else {
                Issue.record("\(port)")
                continue
            }
            #expect(backend.address == .tcp(host: "192.0.2.1", port: target))
        }
        for port in [22, 80, 40001, 40003] {
            guard case .notReady(let reason, _, _) = routes.lookup(sandbox: "a", port: port) else {
                Issue.record("\(port)")
                continue
            }
            #expect(reason.contains("not published"))
        }
        #expect(routes.enterable(sandbox.incarnation) == nil)
    }
}
