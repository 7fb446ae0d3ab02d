import Addresses
import Foundation
import Glibc
import HTTPClient
import Netfilter
import NetworkPolicy
import System
import TestSupport
import Testing

@testable import Egress
@testable import EgressSidecar

/// What a sidecar tells the outside, from a namespace whose policy denies everything.
@Suite(.serialized) struct SidecarOutletTests {
    /// 198.51.100.2, in the outside.
    private static let outside: UInt32 = 0xc633_6402

    @Test func `a webhook and a collector are reached past the policy, and the sandbox reaches neither`() async throws {
        let sidecar = try RunningSidecar()
        let hook = try sidecar.network.outside.run {
            try HookServer(statuses: [200], address: Self.outside, port: 8000)
        }
        let collector = try sidecar.network.outside.run {
            try HookServer(statuses: [200], address: Self.outside, port: 4318)
        }
        defer {
            hook.stop()
            collector.stop()
        }
        // By a name: the sidecar asks its own upstream, not the filter.
        try await sidecar.serve(
            [
                "RULES": "{}", "DENY_WEBHOOK": "http://two.example:8000/hook", "SANDBOX_ID": "sb-7",
                "METRICS_EXTRA_ATTRS": "team=x",
            ],
            others: ["OTEL_EXPORTER_OTLP_ENDPOINT": "http://198.51.100.2:4318", "OTEL_METRIC_EXPORT_INTERVAL": "200"])
        #expect(try sidecar.resolve("secret.example").isEmpty)
        #expect(try await eventually { hook.requests.count == 1 })
        #expect(
            hook.requests[0].contains(#""hostname":"secret.example""#)
                && hook.requests[0].contains(#""sandboxId":"sb-7""#))
        #expect(try await eventually { collector.requests.contains { $0.contains("egress.policy.denied_total") } })
        let export = collector.requests.last!
        #expect(
            export.hasPrefix("POST /v1/metrics ")
                && export.contains(#""key":"sandbox_id","value":{"stringValue":"sb-7"}"#))
        #expect(export.contains(#""key":"team","value":{"stringValue":"x"}"#))
        #expect(export.contains(#""service.name","value":{"stringValue":"opensandbox-egress-"#))
        #expect(try sidecar.stream("198.51.100.2") == .failed(ECONNREFUSED))
        #expect(try sidecar.resolve("two.example").isEmpty)
    }

    @Test func `metrics are served without a token, and every decision is written down`() async throws {
        let sidecar = try RunningSidecar()
        try await sidecar.serve([
            "RULES": #"{"egress":[{"action":"allow","target":"one.example"}]}"#, "AUDIT_LOG": sidecar.folder + "/audit",
        ])
        #expect(try sidecar.resolve("one.example") == ["198.51.100.1"] && sidecar.resolve("two.example").isEmpty)
        let metrics = try sidecar.call("GET", "/metrics", token: nil)
        #expect(metrics.status == 200 && metrics.text.contains("# TYPE egress_policy_denied_total counter"))
        #expect(
            metrics.text.contains("egress_nftables_updates_total")
                && metrics.text.contains("egress_nftables_rules"))
        #expect(
            metrics.text.contains("egress_dns_query_duration_seconds_count 1")
                && metrics.text.contains("egress_system_memory_usage_bytes"))
        #expect(!metrics.text.contains("two.example"), "no name is a label")
        #expect(try sidecar.call("GET", "/metrics", token: nil, from: sidecar.network.sandbox).status == 0)
        let written = try await eventually {
            let text = (try? RunningSidecar.contents(sidecar.folder + "/audit")) ?? []
            let lines = String(decoding: text, as: UTF8.self).split(separator: "\n")
            return lines.contains { $0.contains(#""event":"nameAllowed","name":"one.example""#) }
                && lines.contains { $0.contains(#""event":"nameDenied","name":"two.example""#) }
        }
        #expect(written)
    }

    @Test func `a budget of queries refuses, names itself and is counted`() async throws {
        let sidecar = try RunningSidecar()
        try await sidecar.serve([
            "RULES": #"{"egress":[{"action":"allow","target":"one.example"}]}"#, "BUDGET_QUERIES_PER_SECOND": "2",
        ])
        var answered = 0
        for _ in 0..<20 { answered += try sidecar.resolve("one.example").count }
        #expect(answered > 0 && answered < 20)
        let metrics = try sidecar.call("GET", "/metrics", token: nil).text
        #expect(metrics.contains(#"sallyport_egress_budget_refusals_total{budget="queriesPerSecond"}"#))
    }

    @Test func `E3 port 853 is closed under an open policy, and blocked resolvers are`() async throws {
        let sidecar = try RunningSidecar()
        let servers = try [853, 443, 80].map { port in
            try sidecar.network.outside.run { try HookServer(statuses: [200], address: Self.outside, port: port) }
        }
        defer { servers.forEach { $0.stop() } }
        func opens(_ port: UInt16) throws -> Bool {
            try sidecar.network.sandbox.run {
                let made = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
                defer { close(made) }
                return RawSocketAddress(IPAddress("198.51.100.2")!, port: port).connect(made) == 0
            }
        }
        let open = #"{"defaultAction":"allow"}"#
        let cases: [([String: String], [Bool])] = [
            ([:], [false, true, true]), (["BLOCK_DOT": "false"], [true, true, true]),
            (["DOH_BLOCKLIST": "198.51.100.2"], [false, false, true]),
            (["BLOCK_DOH_443": "true", "DOH_BLOCKLIST": "198.51.100.1,dns.example"], [false, true, true]),
            (["BLOCK_DOH_443": "true"], [false, false, true]),
        ]
        for (variables, expected) in cases {
            try await sidecar.serve(["RULES": open].merging(variables) { $1 })
            let found = [try opens(853), try opens(443), try opens(80)]
            #expect(found == expected, "\(variables)")
            sidecar.end(SIGTERM)
            unlink(sidecar.folder + "/policy.json")
        }
    }

    @Test func `https is spoken to a server that the system vouches for, under its name, and to no other`() async throws
    {
        let sidecar = try RunningSidecar()
        let folder = sidecar.folder
        try Command.run(
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder + "/key", "-out",
            folder + "/cert",
            "-days", "2", "-subj", "/CN=two.example", "-addext", "subjectAltName=DNS:two.example")
        let server = Process()
        server.executableURL = URL(filePath: "/usr/bin/nsenter")
        server.arguments = [
            "--net=" + sidecar.network.outside.path, "python3", "-c", Self.tlsServer, folder + "/cert", folder + "/key",
            folder + "/heard",
        ]
        try server.run()
        defer {
            // Of the two signals only this one is never blocked.
            kill(server.processIdentifier, SIGKILL)
            server.waitUntilExit()
        }
        func heard() -> String {
            String(decoding: (try? RunningSidecar.contents(folder + "/heard")) ?? [], as: UTF8.self)
        }
        #expect(try await eventually { heard().contains("listening") })
        let trust = ["SSL_CERT_FILE": folder + "/cert"]

        try await sidecar.serve(["DENY_WEBHOOK": "https://two.example:8443/hook"], others: trust)
        #expect(try sidecar.resolve("first.example").isEmpty)
        #expect(try await eventually { heard().contains(#""hostname":"first.example""#) })
        sidecar.end(SIGTERM)

        // Nobody vouches for it; and the certificate is for another host.
        for (url, others) in [("https://two.example:8443/", [:]), ("https://198.51.100.2:8443/", trust)] {
            try await sidecar.serve(["DENY_WEBHOOK": url, "LOG_LEVEL": "warn"], others: others)
            #expect(try sidecar.resolve("second.example").isEmpty)
            // Told after four attempts, seven seconds in all.
            var isTold = false
            for _ in 0..<3 where !isTold { isTold = try await eventually { sidecar.log.contains("no TLS: ") } }
            #expect(isTold, "\(url)")
            sidecar.end(SIGTERM)
        }
        #expect(!heard().contains("second.example"))
    }

    private static let tlsServer = """
        import socket, ssl, sys
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
        server = socket.create_server(("198.51.100.2", 8443))
        heard = open(sys.argv[3], "ab", buffering=0)
        heard.write(b"listening")
        while True:
            connection, _ = server.accept()
            try:
                with context.wrap_socket(connection, server_side=True) as secure:
                    heard.write(secure.recv(65536))
                    secure.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
            except OSError:
                pass
        """
}
