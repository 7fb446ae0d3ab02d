/// A listener with TLS, and its certificates.
package struct TLSListener: Hashable, Sendable {
    package var host: String
    /// 0 for any free port.
    package var port: Int
    /// The first is used for clients that send no host name or an unknown one.
    package var certificates: [CertificateFiles]

    package init(host: String = "0.0.0.0", port: Int, certificates: [CertificateFiles]) {
        self.host = host
        self.port = port
        self.certificates = certificates
    }

    /// Moves along with a listener beside it that had the same address.
    package mutating func follow(_ host: String, from old: String) { if self.host == old { self.host = host } }
}

/// A certificate with its chain, and its private key: PEM files.
package struct CertificateFiles: Hashable, Sendable {
    package var certificate: String
    /// Must be readable by its owner only.
    package var key: String

    package init(certificate: String, key: String) {
        self.certificate = certificate
        self.key = key
    }

    /// Reads `certificate.pem:key.pem`, as a flag has it.
    package init?(_ text: String) {
        let paths = text.split(separator: ":", omittingEmptySubsequences: false)
        guard paths.count == 2, paths.allSatisfy({ !$0.isEmpty }) else { return nil }
        self.init(certificate: String(paths[0]), key: String(paths[1]))
    }
}

/// Why TLS cannot be served: a problem with a certificate, a key or the address. Never contains file contents.
package struct TLSError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String

    package init(description: String) { self.description = description }
}
