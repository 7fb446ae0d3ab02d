import NIOSSL

#if canImport(Glibc)
    import Glibc
#endif

/// A certificate chain and its key, read and found to belong together.
struct LoadedCertificate: Sendable {
    let chain: [NIOSSLCertificateSource]
    let key: NIOSSLPrivateKeySource
    /// The DNS names of the first certificate.
    let names: [String]

    init(_ files: CertificateFiles, from source: any FileSource = DiskFiles()) throws(TLSError) {
        let pem = try Self.read(files.certificate, from: source, isSecret: false)
        let secret = try Self.read(files.key, from: source, isSecret: true)
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
        return configuration
    }

    /// - Throws: for a secret that others than its owner may read, too.
    private static func read(
        _ path: String, from source: any FileSource, isSecret: Bool
    ) throws(TLSError) -> [UInt8] {
        let descriptor = source.open(path)
        guard descriptor >= 0 else { throw unreadable(path) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw unreadable(path) }
        guard status.st_mode & S_IFMT == S_IFREG, (1...(1 << 20)).contains(status.st_size) else {
            throw TLSError(description: "\(path) is not a file of at most 1 MiB")
        }
        guard !isSecret || status.st_mode & 0o077 == 0 else {
            throw TLSError(description: "\(path) can be read by others than its owner; use chmod 600")
        }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        var count = 0
        while count < bytes.count {
            let more = bytes.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress! + count, $0.count - count, off_t(count))
            }
            guard more > 0 else { throw unreadable(path) }
            count += more
        }
        return bytes
    }

    private static func unreadable(_ path: String) -> TLSError {
        TLSError(description: "\(path) cannot be read: \(String(cString: strerror(errno)))")
    }
}
