import Addresses
import NetworkPolicy
import Testing

@testable import DNSFilter

#if canImport(Glibc)
    import Glibc
#endif

/// A resolver that others have written: dnsmasq, for `example` alone, on loopback.
private final class Dnsmasq {
    let address: UpstreamAddress
    private var process = pid_t()

    init(_ options: [String]) throws {
        let host = Loopback.host(), port: UInt16 = 5300
        address = UpstreamAddress(address: IPAddress(host)!, port: port)
        let arguments =
            [
                "dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--user=root",
                "--pid-file=", "--listen-address=\(host)", "--bind-interfaces", "--port=\(port)", "--local=/example/",
            ] + options
        var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { pointers.forEach { free($0) } }
        try #require(
            posix_spawn(&process, "/usr/sbin/dnsmasq", nil, nil, &pointers, environ) == 0,
            "dnsmasq-base is missing: scripts/install-deps.sh test")
        // It takes TCP when it is ready.
        var isReady = false
        for _ in 0..<500 where !isReady {
            if let probe = try? Loopback.connect(SOCK_STREAM, port: port, host: host) {
                close(probe)
                isReady = true
            } else {
                usleep(10_000)
            }
        }
        try #require(isReady)
    }

    deinit {
        kill(process, SIGKILL)
        waitpid(process, nil, 0)
    }
}

@Suite struct DnsmasqTests {
    @Test func `another resolver's answers of every kind get through`() throws {
        let text = String(repeating: "x", count: 250)
        let upstream = try Dnsmasq(
            [
                "--host-record=a.example,198.51.100.1,2001:db8::1", "--cname=alias.example,a.example",
                "--mx-host=a.example,a.example,10",
            ] + (0..<10).map { "--txt-record=long.example,\($0)\(text)" })
        let policy = try Recorder(allow: ["*.example"])
        let filter = try LiveFilter([upstream.address], policy: policy) { $0.timeout = 5000 }
        #expect(try filter.addresses(of: "a.example") == ["198.51.100.1"])
        #expect(try LiveFilter.addresses(filter.ask("a.example", type: 28)) == ["2001:db8::1"])
        #expect(try filter.addresses(of: "alias.example") == ["198.51.100.1"])
        #expect(try filter.ask("nobody.example")[3] & 0xf == 3)
        let mail = try filter.ask("a.example", type: RecordType.mx).withUnsafeBytes { try UpstreamResponse($0) }
        #expect(mail.answers.map(\.type) == [RecordType.mx])
        // More than a datagram holds, on both sides of the filter.
        #expect(try filter.ask("long.example", type: 16)[2] & 2 != 0)
        let long = try LiveFilter.ask(filter.tcp, queryBytes("long.example", type: 16), stream: true)
        #expect(try long.withUnsafeBytes { try UpstreamResponse($0) }.answers.count == 10)
        #expect(policy.reasons.isEmpty)
    }
}
