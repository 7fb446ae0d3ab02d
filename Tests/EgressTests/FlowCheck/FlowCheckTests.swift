import Glibc
import Netfilter
import NetworkPolicy
import TestSupport
import Testing

@testable import Egress
@testable import FlowCheck

/// Mode `dns+nft+sni` with real namespaces.
@Suite(.serialized) struct FlowCheckTests {
    private struct Scene {
        var guarded: GuardedNetwork
        var node: EgressNode
        var server: NamedServer

        func open(_ address: String, _ port: UInt16 = 443) throws -> NamedClient {
            try NamedClient(address, port, from: guarded.network.sandbox)
        }
        /// What comes back for a ClientHello that names this.
        func hello(_ name: String?, _ address: String, _ port: UInt16 = 443) throws -> [UInt8] {
            try said(TestHello(name).bytes, address, port)
        }
        func said(_ bytes: [UInt8], _ address: String, _ port: UInt16 = 443) throws -> [UInt8] {
            let client = try open(address, port)
            guard client.status == 0 else { return [] }
            client.send(bytes)
            return client.read(NamedServer.serverHello.count)
        }
        func page(_ request: String, _ address: String, _ port: UInt16 = 80) throws -> String {
            let client = try open(address, port)
            guard client.status == 0 else { return "" }
            client.send(Array(request.utf8))
            client.finish()
            return client.readAll()
        }
    }

    private let passed = NamedServer.serverHello
    private func alert(_ number: UInt8) -> [UInt8] { [21, 3, 3, 0, 2, 2, number] }

    private func run(
        _ policy: String, _ settings: FlowCheckSettings? = FlowCheckSettings(), greeting: [UInt8]? = nil,
        _ body: (Scene) async throws -> Void
    ) async throws {
        try await GuardedNetwork.run(policy, flowCheck: settings) { (guarded, node) async throws in
            let server = try NamedServer(in: guarded.network.outside, greeting: greeting ?? NamedServer.serverHello)
            try await body(Scene(guarded: guarded, node: node, server: server))
        }
    }

    @Test func `E4 another tenant's name on an allowed address is refused, and never arrives`() async throws {
        try await run("deny one.example") { (scene) async throws in
            _ = try scene.guarded.resolve("one.example")
            _ = try scene.guarded.resolve("one.example", type: DNSMessages.aaaa)
            for address in ["198.51.100.1", "2001:db8::1"] {
                let before = scene.server.met
                #expect(try scene.hello("one.example", address) == passed, "\(address)")
                #expect(try scene.hello("ONE.Example", address, 8443) == passed, "every port")
                #expect(scene.server.met == before + 2)
                for name in ["tenant.example", "sub.one.example", "example", nil] {
                    #expect(try scene.hello(name, address) == alert(112), "\(address) \(name ?? "")")
                }
                #expect(scene.server.met == before + 2)
            }
        }
    }

    @Test func `E4 works where only addresses are checked`() async throws {
        try await run("deny one.example", nil) { (scene) async throws in
            _ = try scene.guarded.resolve("one.example")
            #expect(try scene.hello("tenant.example", "198.51.100.1") == passed)
        }
    }

    @Test func `E5 an allowed name on an address that is not its own is refused`() async throws {
        try await run("deny one.example two.example") { (scene) async throws in
            for type in [DNSMessages.a, DNSMessages.aaaa] {
                _ = try scene.guarded.resolve("one.example", type: type)
                _ = try scene.guarded.resolve("two.example", type: type)
            }
            for (own, other) in [("198.51.100.1", "198.51.100.2"), ("2001:db8::1", "2001:db8::2")] {
                #expect(try scene.hello("one.example", own) == passed)
                #expect(try scene.hello("one.example", other) == alert(112))
                #expect(try scene.page("GET / HTTP/1.1\r\nHost: one.example\r\n\r\n", other).hasPrefix("HTTP/1.1 403"))
            }
            #expect(try scene.open("198.51.100.3").status == ECONNREFUSED, "never learned")
            #expect(scene.server.met == 2)
        }
    }

    @Test func `what names nobody, or hides the name, is refused`() async throws {
        try await run("deny one.example") { (scene) async throws in
            _ = try scene.guarded.resolve("one.example")
            var hidden = TestHello("one.example")
            hidden.extensions.append((0xfe0d, [0, 0, 1, 0, 1, 7]))
            #expect(try scene.said(hidden.bytes, "198.51.100.1") == alert(49))
            #expect(
                try scene.said(Array("SSH-2.0-x\r\n".utf8), "198.51.100.1", 22).starts(with: Array("HTTP/1.1 4".utf8)))
            #expect(try scene.said([0, 1, 2, 3], "198.51.100.1").isEmpty)
            #expect(try scene.said(TestHello("198.51.100.1").bytes, "198.51.100.1") == alert(50))
            #expect(scene.server.met == 0)
        }
    }

    @Test func `a name that comes byte by byte is read, and one that does not come is given up`() async throws {
        let settings = FlowCheckSettings(openingTime: 400)
        try await run("deny one.example", settings) { (scene) async throws in
            _ = try scene.guarded.resolve("one.example")
            let slow = try scene.open("198.51.100.1")
            for byte in TestHello("one.example").bytes(fragments: 30) { slow.send([byte]) }
            #expect(slow.read(passed.count) == passed)
            let silent = try scene.open("198.51.100.1"), half = try scene.open("198.51.100.1")
            half.send(Array(TestHello("one.example").bytes.prefix(40)))
            #expect(silent.isOver)
            #expect(half.read(100) == alert(49))
            #expect(scene.server.met == 1)
        }
    }

    @Test func `HTTP passes for the host that was resolved, once a connection`() async throws {
        try await run("deny one.example") { (scene) async throws in
            _ = try scene.guarded.resolve("one.example")
            let request = "GET /a HTTP/1.1\r\nHost: one.example\r\n"
            let answer = try scene.page(request + "\r\nGET /b HTTP/1.1\r\nHost: tenant.example\r\n\r\n", "198.51.100.1")
            #expect(answer == NamedServer.page + request + "Connection: close\r\n\r\n", "the second is not forwarded")
            for host in ["tenant.example", "one.example.", "198.51.100.1", "one.example:81"] {
                let page = try scene.page("GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n", "198.51.100.1")
                #expect(page.hasPrefix("HTTP/1.1 40") && page.contains("egress policy"), "\(page)")
            }
            let denied = try scene.page("GET / HTTP/1.1\r\nHost: tenant.example\r\n\r\n", "198.51.100.1")
            #expect(denied.hasPrefix("HTTP/1.1 403") && denied.contains("tenant.example: denied by default"))
            #expect(scene.server.met == 1)
        }
    }

    @Test func `bodies pass whole, and nothing behind them`() async throws {
        try await run("deny one.example") { (scene) async throws in
            _ = try scene.guarded.resolve("one.example")
            let text = String(repeating: "0123456789", count: 50_000)
            let smuggled = "GET / HTTP/1.1\r\nHost: tenant.example\r\n\r\n"
            for (field, body) in [
                ("Content-Length: \(text.utf8.count)", text),
                ("Transfer-Encoding: chunked", "7A120\r\n\(text)\r\n0\r\n\r\n"),
            ] {
                let head = "POST / HTTP/1.1\r\nHost: one.example\r\n\(field)\r\n"
                let answer = try scene.page(head + "\r\n" + body + smuggled, "198.51.100.1")
                #expect(answer == NamedServer.page + head + "Connection: close\r\n\r\n" + body, "\(field)")
            }
        }
    }

    @Test func `after a retry the second hello must name the same server`() async throws {
        try await run("deny one.example", greeting: NamedServer.retry) { (scene) async throws in
            _ = try scene.guarded.resolve("one.example")
            let first = TestHello("one.example").bytes, other = TestHello("tenant.example").bytes
            let cipherChange = TestHello.record([1], type: 20)
            let honest = try scene.open("198.51.100.1")
            honest.send(first)
            #expect(honest.read(NamedServer.retry.count) == NamedServer.retry)
            honest.send(cipherChange + first + [23, 3, 3, 0, 1, 9])
            #expect(honest.read(cipherChange.count + first.count + 6) == cipherChange + first + [23, 3, 3, 0, 1, 9])
            // Sent after the retry, or at once with the first.
            for bytes in [first, first + cipherChange + other] {
                let liar = try scene.open("198.51.100.1")
                liar.send(bytes)
                #expect(liar.read(NamedServer.retry.count) == NamedServer.retry)
                liar.send(cipherChange + other)
                #expect(liar.isOver)
            }
            let heard = scene.server.received.dropFirst().flatMap { $0 }
            #expect(heard == first + first, "the other name did not arrive")
        }
    }

    @Test func `UDP to a learned address is refused, QUIC's port and others`() async throws {
        try await run("deny one.example") { (scene) async throws in
            for (address, type) in [("198.51.100.1", DNSMessages.a), ("2001:db8::1", DNSMessages.aaaa)] {
                _ = try scene.guarded.resolve("one.example", type: type)
                for port: UInt16 in [443, EchoServer.port] {
                    let outcome = try Probe.datagram(address, port: port, from: scene.guarded.network.sandbox)
                    #expect(outcome == .failed(EPERM), "\(address) \(port)")
                }
            }
        }
    }

    @Test func `ports that are set unchecked, and addresses that rules name, are open as before`() async throws {
        let settings = FlowCheckSettings(uncheckedPorts: [EchoServer.port])
        try await run("deny one.example 198.51.100.2 two.example", settings) { (scene) async throws in
            _ = try scene.guarded.resolve("one.example")
            _ = try scene.guarded.resolve("two.example")
            #expect(try scene.guarded.stream("198.51.100.1") == .echoed)
            #expect(try scene.guarded.datagram("198.51.100.1") == .echoed)
            #expect(try scene.hello("tenant.example", "198.51.100.1") == alert(112))
            #expect(try scene.guarded.stream("198.51.100.2") == .echoed)
            #expect(try scene.guarded.datagram("198.51.100.2") == .echoed)
            #expect(try scene.hello("tenant.example", "198.51.100.2") == passed, "the address is anybody's")
        }
    }

    @Test func `a port that the rule does not name is refused by the kernel`() async throws {
        let json = #"{"egress":[{"action":"allow","target":"one.example","ports":[443],"protocol":"tcp"}]}"#
        try await run("deny one.example") { (scene) async throws in
            try await scene.node.replace(GuardedNetwork.id, with: Policy.decode(json: Array(json.utf8)))
            _ = try scene.guarded.resolve("one.example")
            #expect(try scene.hello("one.example", "198.51.100.1") == passed)
            #expect(try scene.open("198.51.100.1", 8443).status == ECONNREFUSED)
            #expect(try await scene.node.status(GuardedNetwork.id).enforcementMode == "dns+nft+sni")
        }
    }

    @Test func `the check's own port leads nowhere`() async throws {
        try await run("deny one.example") { (scene) async throws in
            _ = try scene.guarded.resolve("one.example")
            let ports = try scene.guarded.network.sandbox.run { Self.listeningPorts() }
            #expect(ports.count >= 2)
            for port in ports {
                for address in ["127.0.0.1", "::1"] {
                    let client = try scene.open(address, port)
                    client.send(TestHello("one.example").bytes)
                    client.finish()
                    #expect(client.read(passed.count) != passed)
                }
            }
            #expect(scene.server.met == 0)
        }
    }

    private static func listeningPorts() -> [UInt16] {
        guard let file = fopen("/proc/thread-self/net/tcp", "re") else { return [] }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 512)
        var ports: [UInt16] = []
        while fgets(&line, CInt(line.count), file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            let words = text.split(separator: " ")
            guard words.count > 3, words[3] == "0A" else { continue }
            if let port = UInt16(words[1].suffix(4), radix: 16) { ports.append(port) }
        }
        return ports
    }
}
