import Logging
import NIOCore
import NIOSSL
import Synchronization
import System

/// The certificates of a listener, read anew when their files change. A handshake gets those of its time; connections that
/// are open go on with theirs.
final class LiveCertificates: Sendable {
    private struct State {
        var loaded: [LoadedCertificate]
        var names: ServerNames
        var stamps: [[ChangeStamp?]]

        func certificate(for name: String?) -> LoadedCertificate {
            loaded[name.flatMap(names.index) ?? 0]
        }
    }

    /// How often the files are looked at.
    private static let interval = Duration.milliseconds(500)

    private let files: [CertificateFiles]
    private let source: any FileSource
    private let state: Mutex<State>

    /// - Throws: where there is none, or one cannot be used.
    init(_ files: [CertificateFiles], from source: any FileSource = DiskFiles()) throws(TLSError) {
        guard !files.isEmpty else { throw TLSError(description: "TLS needs a certificate and a key") }
        self.files = files
        self.source = source
        // Looked at first: what changes while they are read is read again.
        let stamps = files.map { Self.stamp($0, source) }
        let loaded = try files.map { file throws(TLSError) in try LoadedCertificate(file, from: source) }
        state = Mutex(State(loaded: loaded, names: ServerNames(loaded.map(\.names)), stamps: stamps))
    }

    /// What handshakes are made with; each takes the certificate for the name that its client sends.
    /// - Parameter protocols: what is offered (ALPN), the best first.
    func context(protocols: [String]) throws -> NIOSSLContext {
        var configuration = state.withLock { $0.loaded[0] }.configuration
        configuration.applicationProtocols = protocols
        configuration.sslContextCallback = { [self] values, promise in
            let certificate = state.withLock { $0.certificate(for: values.serverHostname) }
            var override = NIOSSLContextConfigurationOverride()
            override.certificateChain = certificate.chain
            override.privateKey = certificate.key
            promise.succeed(override)
        }
        return try NIOSSLContext(configuration: configuration)
    }

    /// Keeps up with the files until the task is cancelled.
    func follow(_ logger: Logger) async {
        while !Task.isCancelled {
            try? await Task.sleep(for: Self.interval)
            refresh(logger)
        }
    }

    /// Reads what has changed. A pair that cannot be used leaves its predecessor in place and is logged once; pairs that
    /// are written file by file do not match for a moment.
    func refresh(_ logger: Logger) {
        let stamps = files.map { Self.stamp($0, source) }
        var present = state.withLock { $0 }
        guard stamps != present.stamps else { return }
        for (index, file) in files.enumerated() where stamps[index] != present.stamps[index] {
            do throws(TLSError) {
                present.loaded[index] = try LoadedCertificate(file, from: source)
                logger.info("certificate read", metadata: ["file": "\(file.certificate)"])
            } catch {
                logger.error(
                    "a certificate cannot be used; the previous one stays in force", metadata: ["error": "\(error)"])
            }
        }
        present.names = ServerNames(present.loaded.map(\.names))
        present.stamps = stamps
        state.withLock { [present] in $0 = present }
    }

    private static func stamp(_ files: CertificateFiles, _ source: any FileSource) -> [ChangeStamp?] {
        [source.stamp(of: files.certificate), source.stamp(of: files.key)]
    }
}
