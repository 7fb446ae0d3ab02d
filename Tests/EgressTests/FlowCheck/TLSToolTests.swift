import Glibc
import Netfilter
import TestSupport
import Testing

@testable import Egress
@testable import FlowCheck

/// OpenSSL's own client and server, which the check must neither disturb nor be fooled by.
@Suite(.serialized) struct TLSToolTests {
    private static func shell(_ line: String) throws { try Command.run("/bin/sh", "-c", line) }

    private func attempt(_ name: String, _ options: String, _ guarded: GuardedNetwork) -> Bool {
        let line =
            "echo question | timeout 10 nsenter --net=\(guarded.network.sandbox.path) openssl s_client -quiet -no_ign_eof"
            + " -servername \(name) -CAfile \(guarded.folder)/certificate -verify_return_error -verify_hostname \(name)"
            + " \(options) >\(guarded.folder)/out 2>&1"
        return (try? Self.shell(line)) != nil
    }

    @Test func `real handshakes pass for the right name, of 1.2 and 1.3, with a retry and over IPv6`() async throws {
        try await GuardedNetwork.run("deny one.example", flowCheck: FlowCheckSettings()) { (guarded, _) async throws in
            let folder = guarded.folder
            try Self.shell(
                "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=one.example"
                    + " -addext subjectAltName=DNS:one.example,DNS:tenant.example -keyout \(folder)/key"
                    + " -out \(folder)/certificate 2>/dev/null")
            // A server that knows one group only: who offers another first is asked again.
            try Self.shell(
                "nsenter --net=\(guarded.network.outside.path) openssl s_server -accept 443 -www -quiet"
                    + " -key \(folder)/key -cert \(folder)/certificate -groups P-256 >/dev/null 2>&1 & echo $! >\(folder)/pid"
            )
            defer { try? Self.shell("kill -9 $(cat \(folder)/pid)") }
            _ = try guarded.resolve("one.example")
            _ = try guarded.resolve("one.example", type: DNSMessages.aaaa)
            #expect(
                try await eventually { self.attempt("one.example", "-connect 198.51.100.1:443 -tls1_3", guarded) },
                "asked again")
            for options in [
                "-connect 198.51.100.1:443 -groups P-256 -tls1_3", "-connect 198.51.100.1:443 -tls1_2",
                "-connect [2001:db8::1]:443",
            ] {
                #expect(attempt("one.example", options, guarded), "\(options)")
                #expect(!attempt("tenant.example", options, guarded), "\(options)")
                try Self.shell("grep -q 'unrecognized name' \(folder)/out")
            }
        }
    }
}
