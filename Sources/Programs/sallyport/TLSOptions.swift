import ArgumentParser
import ControlPlane
import Ingress
import ServerTLS

/// A gateway's TLS settings on the command line, like `[ingress.tls]`.
struct TLSOptions: ParsableArguments {
    @Option(help: "Where the gateway listens with TLS.") var tlsHost: String?
    @Option(help: "Where the gateway listens with TLS; 28443 by default.") var tlsPort: Int?
    @Option(
        name: .customLong("tls-certificate"),
        help: "A certificate with its chain and its key, certificate.pem:key.pem; once for each of them.")
    var certificates: [CertificateFiles] = []

    func validate() throws {
        guard certificates.isEmpty, tlsHost != nil || tlsPort != nil else { return }
        throw ValidationError("TLS needs a certificate: --tls-certificate certificate.pem:key.pem")
    }

    func apply(to settings: inout Settings) {
        guard !certificates.isEmpty else { return }
        settings.gateway.tls = TLSListener(
            host: tlsHost ?? settings.gateway.host, port: tlsPort ?? GatewayConfiguration.defaultTLSPort,
            certificates: certificates
        )
    }
}

extension CertificateFiles: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }
}
