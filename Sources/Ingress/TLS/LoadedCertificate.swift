import NIOSSL
import System

#if canImport(Glibc)
    import Glibc
#endif

/// A certificate chain and its key, which have been checked to match.
struct LoadedCertificate: Sendable {
    let chain: [NIOSSLCertificateSource]
    let key: NIOSSLPrivateKeySource
    /// The DNS names of the first certificate.
    let names: [String]

    init(_ files: CertificateFiles) throws(TLSError) {
        let pem = try Self.read(files.certificate, isSecret: false)
        let secret = try Self.read(files.key, isSecret: true)
        guard let certificates = try? NIOSSLCertificate.fromPEMBytes(pem), let first = certificates.first else {
            throw TLSError(description: "\(files.certificate) holds no certificate in PEM form")
        }
        guard let key = try? NIOSSLPrivateKey(bytes: secret, format: .pem) else {
            throw TLSError(description: "\(files.key) holds no private key in PEM form, without a passphrase")
        }
        chain = certificates.map { .certificate($0) }
        self.key = .privateKey(key)
        names = first._subjectAlternativeNames().compactMap { name in
            guard name.nameType == .dnsName else { return nil }
            return String(decoding: name.contents, as: UTF8.self)
        }
        do { _ = try NIOSSLContext(configuration: configuration) } catch {
            throw TLSError(description: "\(files.key) is not the key of \(files.certificate)")
        }
    }

    /// TLS 1.2 with forward secrecy and AEAD (RFC 9113, section 9.2.2; RFC 9325), or TLS 1.3.
    var configuration: TLSConfiguration {
        var configuration = TLSConfiguration.makeServerConfiguration(certificateChain: chain, privateKey: key)
        configuration.minimumTLSVersion = .tlsv12
        configuration.cipherSuites = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL"
        configuration.applicationProtocols = ["h2", "http/1.1"]
        return configuration
    }

    /// Bytes.
    private static let limit = 1 << 20

    /// - Throws: for a secret that others than its owner may read.
    private static func read(_ path: String, isSecret: Bool) throws(TLSError) -> [UInt8] {
        let file: FileDescriptor
        do throws(SystemCallError) { file = try FileDescriptor(opening: path, O_RDONLY | O_NONBLOCK) } catch {
            throw unreadable(path, error)
        }
        var status = stat()
        guard fstat(file.number, &status) == 0 else { throw unreadable(path, .last) }
        guard status.st_mode & S_IFMT == S_IFREG, (1...Int64(limit)).contains(Int64(status.st_size)) else {
            throw TLSError(description: "\(path) is no file of at most 1 MiB")
        }
        guard !isSecret || status.st_mode & 0o077 == 0 else {
            throw TLSError(description: "\(path) can be read by others than its owner; use chmod 600")
        }
        do throws(SystemCallError) { return try File.read(file.number, limit: limit) } catch {
            throw unreadable(path, error)
        }
    }

    private static func unreadable(_ path: String, _ error: SystemCallError) -> TLSError {
        TLSError(description: "\(path) cannot be read: \(error)")
    }
}
