/// Where a gateway listens with TLS, and as whom.
public struct TLSListener: Hashable, Sendable {
    public var host: String
    /// 0 takes a free one.
    public var port: Int
    /// The first one is shown to clients that name no host, or one that none is for.
    public var certificates: [CertificateFiles]

    public init(host: String = "0.0.0.0", port: Int, certificates: [CertificateFiles]) {
        self.host = host
        self.port = port
        self.certificates = certificates
    }
}

/// A certificate with its chain, and its private key: PEM files.
public struct CertificateFiles: Hashable, Sendable {
    public var certificate: String
    /// Not readable by others than its owner.
    public var key: String

    public init(certificate: String, key: String) {
        self.certificate = certificate
        self.key = key
    }
}

/// What is wrong with a certificate or a key, and in which file. Nothing of the contents.
public struct CertificateError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String
}
