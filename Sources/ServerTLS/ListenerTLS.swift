import HTTPServer
import Logging
import NIOCore
import NIOSSL
import Synchronization

/// TLS in front of one listener: adds its handlers to each connection, and keeps up with the files of the certificates
/// until `stop`.
package final class ListenerTLS: Sendable {
    private let context: NIOSSLContext
    private let follower: Mutex<Task<Void, Never>?>

    /// - Parameters:
    ///   - protocols: what is offered in the handshake (ALPN), the best first.
    ///   - source: where the files are read from.
    /// - Throws: `TLSError` for a certificate or a key that cannot be used.
    package init(
        _ files: [CertificateFiles], protocols: [String], from source: any FileSource = DiskFiles(), logger: Logger
    ) throws {
        let certificates = try LiveCertificates(files, from: source)
        context = try certificates.context(protocols: protocols)
        follower = Mutex(Task { await certificates.follow(logger) })
    }

    deinit { stop() }

    /// The files are not looked at any more.
    package func stop() { follower.withLock { $0.take() }?.cancel() }

    /// - Parameters:
    ///   - timeout: for the handshake.
    ///   - failed: called on the event loop where there is none.
    ///   - ready: adds the handlers for the protocol that was agreed on; called on the event loop.
    package func secure(
        _ channel: any Channel, timeout: TimeAmount, failed: @escaping () -> Void = {},
        ready: @escaping (any Channel, _ protocol: String?) throws -> Void
    ) throws {
        try channel.pipeline.syncOperations.addHandlers([
            NIOSSLServerHandler(context: context),
            HandshakeHandler(timeout: timeout, failed: failed, ready: ready),
        ])
    }
}

extension ListenerTLS: ConnectionSecurity {
    package func secure(
        _ channel: any Channel, timeout: TimeAmount, ready: @escaping (any Channel) throws -> Void
    ) throws {
        try secure(channel, timeout: timeout) { channel, _ in try ready(channel) }
    }
}
