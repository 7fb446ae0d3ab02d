import Glibc
import Netfilter
import NetworkPolicy
import Synchronization
import TestSupport
import Testing

@testable import Egress
@testable import EgressSidecar

@Suite(.serialized) struct SidecarClosedTests {
    private static let allowOne = #"{"egress":[{"action":"allow","target":"198.51.100.1"}]}"#

    @Test(arguments: [
        ("MODE", "iptables"), ("RULES", #"{"defaultAction":"maybe"}"#), ("HTTP_ADDR", "everywhere"),
        ("DNS_UPSTREAM", "no address"),
    ])
    func `E22 a wrong value ends the program with a reason, and everything stays closed`(
        name: String, value: String
    ) throws {
        let sidecar = try RunningSidecar()
        try sidecar.start([name: value])
        #expect(sidecar.wait() == 2)
        #expect(sidecar.log.contains("OPENSANDBOX_EGRESS_\(name)") && sidecar.log.hasSuffix("closed\n"))
        try expectClosed(sidecar)
    }

    @Test func `E22 a policy file or a list that cannot be read keeps everything closed`() throws {
        let sidecar = try RunningSidecar()
        try sidecar.write("{", to: "policy.json")
        try sidecar.start(["RULES": #"{"defaultAction":"allow"}"#])
        #expect(sidecar.wait() == 2)
        try expectClosed(sidecar)
        try sidecar.write("{}", to: "policy.json")
        try sidecar.write("no name at all\n", to: "rules/deny.always")
        try sidecar.start(["RULES": #"{"defaultAction":"allow"}"#])
        #expect(sidecar.wait() == 2)
        #expect(sidecar.log.contains("deny.always, line 1"))
        try expectClosed(sidecar)
    }

    @Test func `R12 a second sidecar is refused, and the first goes on`() async throws {
        let sidecar = try RunningSidecar()
        try await sidecar.serve(["RULES": Self.allowOne])
        let tables = try sidecar.network.sandbox.run { try NetfilterSocket() }
        try tables.acceptChanges()
        for _ in 0..<2 {
            let place = "nsenter --net=\(sidecar.network.sandbox.path) \(RunningSidecar.program)"
            try Command.run("sh", "-c", "\(place) 2>\(sidecar.folder)/second; test $? = 1")
            let said = try RunningSidecar.contents(sidecar.folder + "/second")
            #expect(String(decoding: said, as: UTF8.self).contains("another sidecar guards this network namespace"))
        }
        #expect(try !tables.wasChangedByOthers())
        #expect(try sidecar.stream("198.51.100.1") == .echoed)
        #expect(try sidecar.stream("198.51.100.2") == .failed(ECONNREFUSED))
        // The place is free when it has ended, however.
        for number in [SIGKILL, SIGTERM] {
            sidecar.end(number)
            try await sidecar.serve(["RULES": Self.allowOne])
        }
        #expect(try sidecar.stream("198.51.100.1") == .echoed)
    }

    @Test func `without its capability it says so`() throws {
        let sidecar = try RunningSidecar()
        try sidecar.start(through: ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"])
        #expect(sidecar.wait() == 1)
        #expect(sidecar.log.contains("CAP_NET_ADMIN"))
    }

    /// Packets of any kind; the loopback of the sandbox goes on.
    private func expectClosed(_ sidecar: RunningSidecar) throws {
        let sink = try PacketSink(in: sidecar.network.outside, device: "host0")
        let noise = try Noise(in: sidecar.network.sandbox)
        noise.round()
        #expect(try sink.packets().filter { !$0.isARP }.isEmpty)
        let inside = try EchoServer(in: sidecar.network.sandbox)
        #expect(try sidecar.stream("127.0.0.1") == .echoed)
        withExtendedLifetime(inside) {}
    }

    @Test func `E19 nothing gets out while it starts, ends, is killed and starts again`() async throws {
        let sidecar = try RunningSidecar()
        try sidecar.start(["MODE": "wrong"])
        #expect(sidecar.wait() == 2)
        let sink = try PacketSink(in: sidecar.network.outside, device: "host0")
        let noise = try Noise(in: sidecar.network.sandbox)
        noise.begin()
        for signal in [SIGKILL, SIGTERM, SIGKILL, SIGTERM] {
            try await sidecar.serve()
            #expect(sidecar.end(signal) == (signal == SIGTERM ? 0 : -SIGKILL))
        }
        try await sidecar.serve()
        noise.end()
        #expect(noise.rounds > 100, "there was something to stop")
        #expect(try sink.packets().filter { $0.isFromSandboxAnew } == [])
        // Both controls: the sink sees what is allowed.
        #expect(try sidecar.call("PUT", "/policy", Self.allowOne).status == 200)
        #expect(try sidecar.stream("198.51.100.1") == .echoed)
        #expect(try sink.packets().contains { $0.isFromSandboxAnew })
    }

    /// The kernel gives a new base chain its policy only after it has taken the old one away.
    @Test func `E19 nothing gets out while the closed table replaces itself`() throws {
        let network = try TestNetwork()
        let tables = try network.sandbox.run { try NetfilterSocket() }
        try tables.commit(SidecarRuleset.close())
        let sink = try PacketSink(in: network.outside, device: "host0")
        let noise = try Noise(in: network.sandbox)
        noise.begin()
        while noise.rounds < 2000 { try tables.commit(SidecarRuleset.close()) }
        noise.end()
        #expect(try sink.packets().filter { $0.isFromSandboxAnew } == [])
    }

    @Test func `E22 killed, it leaves everything as it was`() async throws {
        let sidecar = try RunningSidecar()
        try await sidecar.serve(["RULES": Self.allowOne])
        sidecar.kill()
        #expect(try sidecar.stream("198.51.100.1") == .echoed)
        #expect(try sidecar.stream("198.51.100.2") == .failed(ECONNREFUSED))
        #expect(try sidecar.resolve("one.example").isEmpty)
        try await sidecar.serve(["RULES": Self.allowOne])
        #expect(try sidecar.stream("198.51.100.1") == .echoed)
        #expect(try sidecar.stream("198.51.100.2") == .failed(ECONNREFUSED))
    }

    @Test func `a policy set at run time is in its file and outlives a restart`() async throws {
        let sidecar = try RunningSidecar()
        try await sidecar.serve(["RULES": Self.allowOne])
        let patch = #"[{"action":"allow","target":"two.example"},{"action":"deny","target":"198.51.100.1"}]"#
        #expect(try sidecar.call("PATCH", "/policy", patch).status == 200)
        #expect(try sidecar.resolve("two.example") == ["198.51.100.2"])
        sidecar.kill()
        let stored = try Policy.decode(json: RunningSidecar.contents(sidecar.folder + "/policy.json"))
        #expect(stored.rules.map(\.text) == ["two.example", "198.51.100.1"])
        try await sidecar.serve(["RULES": Self.allowOne])
        #expect(try sidecar.stream("198.51.100.1") == .failed(ECONNREFUSED), "the file wins")
        #expect(try sidecar.stream("198.51.100.2") == .echoed, "what was learned is kept")
    }

    @Test func `it keeps no right but the one it needs`() async throws {
        let sidecar = try RunningSidecar()
        let process = try sidecar.start()
        let serves = try await eventually { try sidecar.call("GET", "/healthz", token: nil).status == 200 }
        try #require(serves)
        let threads = try #require(RunningSidecar.names(in: "/proc/\(process)/task"))
        #expect(threads.count > 1)
        for thread in threads {
            let status = String(
                decoding: try RunningSidecar.contents("/proc/\(process)/task/\(thread)/status"), as: UTF8.self)
            for line in ["CapPrm:\t0000000000001000", "CapEff:\t0000000000001000", "CapBnd:\t0000000000001000"] {
                #expect(status.contains(line), "\(thread)")
            }
            #expect(status.contains("CapInh:\t0000000000000000") && status.contains("CapAmb:\t0000000000000000"))
            #expect(status.contains("NoNewPrivs:\t1"))
        }
    }
}
