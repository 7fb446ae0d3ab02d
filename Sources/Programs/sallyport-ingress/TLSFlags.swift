import ArgumentParser
import Ingress
import ServerTLS

/// TLS in front of this gateway; the flags are those of `sallyport ingress`.
struct TLSFlags: ParsableArguments {
    @Option(help: "The address to listen on with TLS; that of --host by default.") var tlsHost: String?
    @Option(help: "Where clients connect with TLS.") var tlsPort = GatewayConfiguration.defaultTLSPort
    @Option(
        name: .customLong("tls-certificate"),
        help: "A certificate with its chain and its key, certificate.pem:key.pem; once for each of them.")
    var certificates: [CertificateFiles] = []

    func listener(host: String) -> TLSListener? {
        certificates.isEmpty
            ? nil : TLSListener(host: tlsHost ?? host, port: tlsPort, certificates: certificates)
    }

    func validate() throws {
        guard (0...65535).contains(tlsPort) else { throw ValidationError("--tls-port must be from 0 to 65535") }
        guard !certificates.isEmpty || tlsHost == nil else {
            throw ValidationError("TLS needs a certificate: --tls-certificate certificate.pem:key.pem")
        }
    }
}

extension CertificateFiles: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }
}
