import Foundation
import NIOCore
import NIOHTTP1
import NIOHTTP2
import NIOPosix
import NIOSSL
import TestSupport

/// An HTTPS server that speaks HTTP/2 with whoever does, and answers with the version and the client's certificate.
final class TLSServer: Sendable {
    private let channel: any Channel
    let port: UInt16

    /// - Parameter clients: PEM of the authority that clients must have a certificate of; nil for no certificate.
    init(certificate: String, key: String, clients: String? = nil) async throws {
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) },
            privateKey: .privateKey(try NIOSSLPrivateKey(file: key, format: .pem)))
        configuration.applicationProtocols = ["h2", "http/1.1"]
        if let clients {
            configuration.trustRoots = .file(clients)
            configuration.certificateVerification = .noHostnameVerification
        }
        let context = try NIOSSLContext(configuration: configuration)
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
                }.flatMap {
                    channel.configureHTTP2SecureUpgrade(
                        h2ChannelConfigurator: { channel in
                            channel.configureHTTP2Pipeline(mode: .server) { stream in
                                stream.eventLoop.makeCompletedFuture {
                                    try stream.pipeline.syncOperations.addHandlers([
                                        HTTP2FramePayloadToHTTP1ServerCodec(), Answer(version: "h2"),
                                    ])
                                }
                            }.map { _ in }
                        },
                        http1ChannelConfigurator: { channel in
                            channel.pipeline.configureHTTPServerPipeline().flatMap {
                                channel.eventLoop.makeCompletedFuture {
                                    try channel.pipeline.syncOperations.addHandler(Answer(version: "http/1.1"))
                                }
                            }
                        })
                }
            }.bind(host: "127.0.0.1", port: 0).get()
        port = UInt16(channel.localAddress!.port!)
    }

    func stop() { channel.close(promise: nil) }

    private final class Answer: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart
        private let version: String
        private var bytes = 0

        init(version: String) { self.version = version }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head: bytes = 0
            case .body(let body): bytes += body.readableBytes
            case .end:
                let text = "\(version) \(bytes)"
                let head = HTTPResponseHead(
                    version: .http1_1, status: .ok, headers: ["content-length": "\(text.utf8.count)"])
                context.write(wrapOutboundOut(.head(head)), promise: nil)
                context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
                context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            }
        }
    }
}

/// Certificates that the tests make: an authority, and what it signs.
struct TestAuthority: Sendable {
    private let folder: TemporaryFolder
    var certificate: String { folder.path + "/ca.pem" }
    var key: String { folder.path + "/ca.key" }

    init(_ name: String) throws {
        folder = TemporaryFolder("authority")
        try openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=\(name)"
                + " -keyout \(key) -out \(certificate)")
    }

    /// - Returns: paths of a certificate and its key.
    func issue(_ name: String, to host: String, ended: Bool = false) throws -> (certificate: String, key: String) {
        let base = folder.path + "/" + name
        try openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=\(name)"
                + " -addext subjectAltName=\(host) -keyout \(base).key -out \(base).csr")
        try "".write(toFile: base + ".index")
        try """
        [ca]
        default_ca = one
        [one]
        database = \(base).index
        new_certs_dir = \(folder.path)
        default_md = sha256
        policy = any
        copy_extensions = copy
        rand_serial = yes
        [any]
        commonName = supplied
        """.write(toFile: base + ".conf")
        let dates = ended ? "-startdate 20200101000000Z -enddate 20210101000000Z" : "-days 2"
        try openssl(
            "ca -batch -notext -config \(base).conf -cert \(certificate) -keyfile \(key) \(dates)"
                + " -in \(base).csr -out \(base).pem")
        return (base + ".pem", base + ".key")
    }

    private func openssl(_ line: String) throws {
        try Command.run(["sh", "-c", "exec openssl \(line) 2>/dev/null"])
    }
}

extension String {
    fileprivate func write(toFile path: String) throws { try write(toFile: path, atomically: false, encoding: .utf8) }
}
