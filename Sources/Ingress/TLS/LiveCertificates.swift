import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOSSL
import System

/// A listener's certificates, which are read again when their files change. Open connections keep theirs.
final class LiveCertificates: Sendable {
    private struct State {
        var loaded: [LoadedCertificate]
        var names: ServerNames
        var stamps: [[ChangeStamp?]]

        func certificate(for name: String?) -> LoadedCertificate {
            loaded[name.flatMap(names.index) ?? 0]
        }
    }

    /// How often to check the files.
    private static let interval = Duration.milliseconds(500)

    private let files: [CertificateFiles]
    private let state: NIOLockedValueBox<State>

    /// - Throws: if there is none, or one cannot be used.
    init(_ files: [CertificateFiles]) throws(TLSError) {
        guard !files.isEmpty else { throw TLSError(description: "TLS needs a certificate and a key") }
        self.files = files
        // Taken first, so that a change during reading is noticed later.
        let stamps = files.map(Self.stamp)
        let loaded = try files.map { file throws(TLSError) in try LoadedCertificate(file) }
        state = NIOLockedValueBox(State(loaded: loaded, names: ServerNames(loaded.map(\.names)), stamps: stamps))
    }

    /// The TLS context for handshakes, which use the certificate for the name that the client sends.
    func context() throws -> NIOSSLContext {
        var configuration = state.withLockedValue { $0.loaded[0] }.configuration
        configuration.sslContextCallback = { [self] values, promise in
            let certificate = state.withLockedValue { $0.certificate(for: values.serverHostname) }
            var override = NIOSSLContextConfigurationOverride()
            override.certificateChain = certificate.chain
            override.privateKey = certificate.key
            promise.succeed(override)
        }
        return try NIOSSLContext(configuration: configuration)
    }

    /// Follows changes of the files until the task is cancelled.
    func follow(_ logger: Logger) async {
        while !Task.isCancelled {
            try? await Task.sleep(for: Self.interval)
            refresh(logger)
        }
    }

    /// Reads changed files. A pair that cannot be used is logged once, and the previous one stays; while certificate
    /// and key are written one after the other, they do not match for a moment.
    func refresh(_ logger: Logger) {
        let stamps = files.map(Self.stamp)
        var present = state.withLockedValue { $0 }
        guard stamps != present.stamps else { return }
        for (index, file) in files.enumerated() where stamps[index] != present.stamps[index] {
            do throws(TLSError) {
                present.loaded[index] = try LoadedCertificate(file)
                logger.info("certificate read", metadata: ["file": "\(file.certificate)"])
            } catch {
                logger.error(
                    "a certificate cannot be used; the previous one stays in force", metadata: ["error": "\(error)"])
            }
        }
        present.names = ServerNames(present.loaded.map(\.names))
        present.stamps = stamps
        state.withLockedValue { [present] in $0 = present }
    }

    /// File attributes that change with a file or its permissions.
    private static func stamp(_ files: CertificateFiles) -> [ChangeStamp?] {
        [ChangeStamp(files.certificate), ChangeStamp(files.key)]
    }
}
