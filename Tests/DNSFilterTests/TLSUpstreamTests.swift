import Addresses
import COpenSSL
import NetworkPolicy
import Synchronization
import Testing

@testable import DNSFilter

#if canImport(Glibc)
    import Glibc
#endif

/// Keys and certificates made by openssl(1), in a folder that goes with them.
private final class Certificates: Sendable {
    let folder: String
    var authority: String { folder + "/ca.pem" }

    init() throws {
        folder = "/tmp/spt-dot-\(UInt32.random(in: .min ... .max))"
        try Self.run("mkdir \(folder)")
        for name in ["ca", "other"] {
            try Self.run(
                "cd \(folder) && openssl req -x509 \(Self.key(name)) -out \(name).pem -days 2 -subj /CN=\(name)")
        }
    }

    deinit { try? Self.run("rm -rf \(folder)") }

    private static func key(_ name: String) -> String {
        "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout \(name).key"
    }

    /// A certificate for this subject alternative name.
    func issue(_ name: String, for subject: String, by authority: String = "ca", days: Int = 2) throws {
        try Self.run(
            """
            cd \(folder) && openssl req -new \(Self.key(name)) -out \(name).csr -subj /CN=server && \
            echo subjectAltName=\(subject) >\(name).ext && openssl x509 -req -in \(name).csr -CA \(authority).pem \
            -CAkey \(authority).key -CAcreateserial -days \(days) -extfile \(name).ext -out \(name).pem
            """)
    }

    private static func run(_ command: String) throws {
        try #require(system("{ \(command); } >/dev/null 2>&1") == 0, "\(command)")
    }
}

/// A resolver that speaks nothing but DNS over TLS.
private final class TLSUpstream: Sendable {
    let port: UInt16
    private let listener: CInt
    private let context: UInt
    private let counts = Mutex((connections: 0, queries: 0))
    /// Connections are closed after so many answers.
    private let answersEach: Int

    var connections: Int { counts.withLock { $0.connections } }
    var queries: Int { counts.withLock { $0.queries } }

    init(_ certificates: Certificates, _ name: String, answersEach: Int = .max) throws {
        self.answersEach = answersEach
        signal(SIGPIPE, SIG_IGN)
        (listener, port) = try Loopback.socket(SOCK_STREAM, blocking: true)
        let made = try #require(SSL_CTX_new(TLS_server_method()))
        let file = certificates.folder + "/" + name
        try #require(SSL_CTX_use_certificate_file(made, file + ".pem", SSL_FILETYPE_PEM) == 1)
        try #require(SSL_CTX_use_PrivateKey_file(made, file + ".key", SSL_FILETYPE_PEM) == 1)
        context = UInt(bitPattern: made)
        TestThread.start { [self] in
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { return }
                counts.withLock { $0.connections += 1 }
                TestThread.start { [self] in serve(connection) }
            }
        }
    }

    func close() { shutdown(listener, Int32(SHUT_RDWR)) }

    private func serve(_ connection: CInt) {
        defer { Glibc.close(connection) }
        let session = SSL_new(OpaquePointer(bitPattern: context)!)!
        defer { SSL_free(session) }
        SSL_set_fd(session, connection)
        guard SSL_accept(session) == 1 else { return }
        var received = StreamBuffer()
        var buffer = [UInt8](repeating: 0, count: 4096)
        var answered = 0
        while answered < answersEach {
            let count = SSL_read(session, &buffer, 4096)
            guard count > 0 else { return }
            buffer[..<Int(count)].withUnsafeBytes { received.append($0) }
            while answered < answersEach, let query = received.next() {
                counts.withLock { $0.queries += 1 }
                let name = LyingUpstreamTests.name(query)
                let answer = StreamBuffer.framed(
                    responseBytes(to: query, records: [(name, 1, 60, [198, 51, 100, 1])]))
                SSL_write(session, answer, Int32(answer.count))
                answered += 1
            }
        }
        SSL_shutdown(session)
    }
}

@Suite struct TLSUpstreamTests {
    private func filter(
        _ upstream: TLSUpstream, _ tls: UpstreamAddress.TLSIdentity, _ certificates: Certificates,
        policy: Recorder? = nil
    ) throws -> LiveFilter {
        let address = UpstreamAddress(address: IPAddress("127.0.0.1")!, port: upstream.port, tls: tls)
        return try LiveFilter([address], policy: policy ?? Recorder(allow: ["*.example"])) {
            $0.timeout = 10_000
            $0.tlsAuthorities = certificates.authority
        }
    }

    @Test func `an upstream with a certificate for its name or its address is believed, by one connection`() throws {
        let certificates = try Certificates()
        try certificates.issue("named", for: "DNS:dns.example")
        try certificates.issue("numbered", for: "IP:127.0.0.1")
        for (name, identity) in [("named", UpstreamAddress.TLSIdentity.name("dns.example")), ("numbered", .address)] {
            let upstream = try TLSUpstream(certificates, name)
            defer { upstream.close() }
            let filter = try filter(upstream, identity, certificates)
            for number in 0..<20 { #expect(try filter.addresses(of: "n\(number).example") == ["198.51.100.1"]) }
            #expect(upstream.connections == 1 && upstream.queries == 20)
        }
    }

    @Test func `an upstream without the right certificate is told nothing at all`() throws {
        let certificates = try Certificates()
        try certificates.issue("elsewhere", for: "DNS:other.example")
        try certificates.issue("number", for: "IP:127.0.0.2")
        try certificates.issue("expired", for: "DNS:dns.example", days: -1)
        try certificates.issue("stranger", for: "DNS:dns.example", by: "other")
        for (name, identity) in [
            ("elsewhere", UpstreamAddress.TLSIdentity.name("dns.example")), ("number", .address),
            ("expired", .name("dns.example")), ("stranger", .name("dns.example")),
        ] {
            let upstream = try TLSUpstream(certificates, name)
            defer { upstream.close() }
            let policy = try Recorder(allow: ["*.example"])
            let filter = try filter(upstream, identity, certificates, policy: policy)
            #expect(try filter.ask("a.example")[3] & 0xf == 2, "\(name)")
            #expect(upstream.connections >= 1 && upstream.queries == 0, "\(name)")
            #expect(policy.reasons.contains { $0.contains("certificate") }, "\(name): \(policy.reasons)")
        }
    }

    @Test func `an upstream that does not speak TLS gets no query, over TCP or UDP`() throws {
        let certificates = try Certificates()
        let upstream = try Upstream { query, _ in responseBytes(to: query) }
        defer { upstream.close() }
        var address = upstream.address
        address.tls = .name("dns.example")
        let filter = try LiveFilter([address], policy: Recorder(allow: ["*.example"])) {
            $0.timeout = 1000
            $0.tlsAuthorities = certificates.authority
        }
        #expect(try filter.ask("secretname.example")[3] & 0xf == 2)
        let text = Array("secretname".utf8)
        for query in upstream.queries {
            let lower = UpstreamResponse.lowercased(query)
            #expect(!lower.indices.contains { lower[$0...].starts(with: text) })
        }
        #expect(upstream.connections >= 1)
    }

    @Test func `a connection that ends is made again`() throws {
        let certificates = try Certificates()
        try certificates.issue("named", for: "DNS:dns.example")
        let upstream = try TLSUpstream(certificates, "named", answersEach: 1)
        defer { upstream.close() }
        let filter = try filter(upstream, .name("dns.example"), certificates)
        for number in 0..<6 { #expect(try filter.addresses(of: "n\(number).example") == ["198.51.100.1"]) }
        #expect(upstream.connections >= 6)
    }

    @Test func `without authorities that can be read the filter does not start`() throws {
        var configuration = DNSConfiguration(upstreams: [UpstreamAddress("tls://127.0.0.1")!])
        configuration.tlsAuthorities = "/nonexistent/ca.pem"
        let server = try DNSServer(configuration: configuration)
        #expect(throws: UpstreamTLSError.self) { try server.start() }
    }

    @Test func `upstreams are written as addresses, over TLS with a scheme and perhaps a name`() {
        for (text, port, tls) in [
            ("198.51.100.53", UInt16(53), UpstreamAddress.TLSIdentity?.none), ("[2001:db8::53]:5353", 5353, nil),
            ("tls://198.51.100.53", 853, .address),
            ("tls://[2001:db8::53]:8853#dns.example", 8853, .name("dns.example")),
            ("tls://2001:db8::53#Dns.Example", 853, .name("dns.example")), ("tls://[::1]", 853, .address),
        ] {
            let upstream = UpstreamAddress(text)
            #expect(upstream?.port == port && upstream?.tls == tls, "\(text)")
            #expect(upstream.flatMap { UpstreamAddress($0.description) } == upstream, "\(text)")
        }
        for text in [
            "tls://", "tls://dns.example", "tls://198.51.100.53#", "tls://198.51.100.53#a b", "https://1.2.3.4",
        ] {
            #expect(UpstreamAddress(text) == nil, "\(text)")
        }
    }
}
