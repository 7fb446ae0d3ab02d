import HTTPServer
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import ServerTLS
import Synchronization
import TestSupport
import Testing

/// An HTTP server with TLS in front of it.
@Suite struct SecureServerTests {
    private static let group = MultiThreadedEventLoopGroup.singleton
    private static let logger = Logger(label: "test")

    private struct Certificate {
        private let folder = TemporaryFolder("certificate")
        var files: CertificateFiles {
            CertificateFiles(certificate: folder.path + "/a.pem", key: folder.path + "/a.key")
        }

        init() throws {
            try Command.run([
                "sh", "-c",
                "umask 077; exec openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=a"
                    + " -addext subjectAltName=DNS:a.example -keyout \(files.key) -out \(files.certificate) 2>/dev/null",
            ])
        }
    }

    private func serving<Result: Sendable>(
        limits: HTTPLimits = HTTPLimits(), handler: @escaping HTTPHandler,
        _ body: @Sendable (SocketAddress, CertificateFiles) async throws -> Result
    ) async throws -> Result {
        let files = try Certificate(),
            tls = try ListenerTLS([files.files], protocols: ["http/1.1"], logger: Self.logger)
        let server = HTTPServer(group: Self.group, limits: limits, logger: Self.logger, handler: handler)
        let address = try await server.start(on: .tcp(host: "127.0.0.1", port: 0), security: tls)
        do {
            let result = try await body(address, files.files)
            await server.shutdown(grace: .seconds(60))
            return result
        } catch {
            await server.shutdown(grace: .zero)
            throw error
        }
    }

    /// What comes for a text, until the server ends the connection.
    private static func exchange(_ text: String, _ address: SocketAddress, _ files: CertificateFiles) async throws
        -> String
    {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.trustRoots = .file(files.certificate)
        let context = try NIOSSLContext(configuration: configuration)
        let channel = try await ClientBootstrap(group: group).connect(to: address) { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(
                    NIOSSLClientHandler(context: context, serverHostname: "a.example"))
                return try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
            }
        }
        return try await channel.executeThenClose { inbound, outbound in
            try await outbound.write(ByteBuffer(string: text))
            var received = ""
            for try await part in inbound { received += String(buffer: part) }
            return received
        }
    }

    @Test func `requests are answered one after the other, and the last ends the connection`() async throws {
        let answer = try await serving(handler: { request, writer in
            try? await writer.send(.text(.ok, "<\(request.path)>"))
        }) {
            try await Self.exchange(
                "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", $0, $1)
        }
        #expect(answer.contains("</1>"))
        #expect(answer.hasSuffix("</2>"))
    }

    @Test func `an answer before the end of the request arrives through TLS, too`() async throws {
        let length = 8 << 20
        let request =
            "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: \(length)\r\n\r\n"
            + String(repeating: "b", count: length)
        let answer = try await serving(handler: { _, writer in
            try? await writer.send(.text(.payloadTooLarge, "too much"))
        }) { try await Self.exchange(request, $0, $1) }
        #expect(answer.contains(" 413 ") && answer.hasSuffix("too much"))
    }

    @Test func `who begins no handshake is let go, and so is who sends something else`() async throws {
        var limits = HTTPLimits()
        limits.handshakeTimeout = .milliseconds(50)
        // What follows is not let go for being idle, and would be answered.
        limits.idleTimeout = .hours(1)
        let answers = try await serving(
            limits: limits, handler: { _, writer in try? await writer.send(.text(.ok, "served")) }
        ) { address, _ in
            func received(_ text: String) async throws -> String {
                do { return try await RawClient(address).exchange(text) } catch ChannelError.ioOnClosedChannel {
                    return ""
                }
            }
            return (try await received(""), try await received("GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
        }
        #expect(answers.0.isEmpty && !answers.1.contains("HTTP/1.1") && !answers.1.contains("served"))
    }

    @Test func `what comes while the connection ends is nobody's request`() async throws {
        let served = Mutex(0)
        let answer = try await serving(handler: { request, writer in
            served.withLock { $0 += 1 }
            // Returns without an answer: the connection ends, and TLS takes a while for that.
            guard request.path != "/broken" else { return }
            try? await writer.send(.text(.ok, "served"))
        }) {
            try await Self.exchange(
                "GET /broken HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n", $0, $1)
        }
        #expect(answer.isEmpty && served.withLock { $0 } == 1)
    }

    @Test func `a key that others may read is refused by its name, and nothing of it is told`() throws {
        let certificate = try Certificate()
        try Command.run("chmod", "640", certificate.files.key)
        let error = #expect(throws: TLSError.self) {
            try ListenerTLS([certificate.files], protocols: [], logger: Self.logger)
        }
        #expect(error?.description.hasPrefix(certificate.files.key) == true)
    }
}
