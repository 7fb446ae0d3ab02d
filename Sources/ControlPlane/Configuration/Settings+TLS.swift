import Ingress
import ServerTLS

/// Second listeners, with TLS.
extension Settings {
    /// The default port of the API's.
    static let serverTLSPort = 8443

    static let serverTLSSection = tlsSection(
        "server.tls", "A second listener of the API, for HTTPS; files are read again when they change.",
        beside: "server", host: \.server.host, port: serverTLSPort, \.server.tls)

    static let gatewayTLSSection = tlsSection(
        "ingress.tls", "A second listener, for HTTPS and HTTP/2; files are read again when they change.",
        beside: "ingress", host: \.gateway.host, port: GatewayConfiguration.defaultTLSPort, \.gateway.tls)

    /// - Parameters:
    ///   - section: the one of the listener without TLS.
    ///   - host: its address.
    ///   - port: the default.
    private static func tlsSection(
        _ path: String, _ summary: String, beside section: String, host: any KeyPath<Settings, String> & Sendable,
        port: Int, _ place: any WritableKeyPath<Settings, TLSListener?> & Sendable
    ) -> SettingSection {
        SettingSection(
            path, summary,
            [
                SettingKey(
                    "host", "an address of this machine", example: "\"127.0.0.1\"", "absent: that of [\(section)]"),
                SettingKey("port", "1 to 65535", example: "\(port)", "absent: \(port)"),
            ],
            lists: [
                SettingList(
                    name: "certificates",
                    summary: "by the names that they hold; the first for clients that name no host",
                    keys: [
                        .init(name: "certificate", example: "/etc/sallyport/example.pem", summary: "with its chain"),
                        .init(name: "key", example: "/etc/sallyport/example.key", summary: "chmod 600"),
                    ])
            ]
        ) { (values, settings) throws(ConfigurationError) in
            guard !values.isEmpty else { return }
            let files = (values.tables["certificates"] ?? []).map {
                CertificateFiles(certificate: $0["certificate"]!, key: $0["key"]!)
            }
            guard !files.isEmpty else {
                throw ConfigurationError("\(path) has no [[\(path).certificates]] with certificate and key")
            }
            settings[keyPath: place] = TLSListener(
                host: try values["host"]?.text() ?? settings[keyPath: host],
                port: try values["port"]?.integer(in: 1...65535) ?? port, certificates: files)
        }
    }
}
