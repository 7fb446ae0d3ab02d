import CLinux
import DNSFilter
import Egress
import EgressSidecar
import Logging
import NetworkPolicy
import Observability

#if canImport(Glibc)
    import Glibc
#endif

/// Ends the program with a line for the operator.
enum Exit: Int32 {
    case failed = 1
    /// A variable or a file is invalid.
    case configuration = 2

    /// Ends the program successfully, with a text.
    static func saying(_ text: String) -> Never {
        _ = write(STDOUT_FILENO, text, text.utf8.count)
        exit(0)
    }

    static func now(_ code: Exit, _ reason: String) -> Never {
        let line = Array("sallyport-egress: \(reason)\n".utf8)
        _ = write(STDERR_FILENO, line, line.count)
        exit(code.rawValue)
    }
}

/// Reads the program's surroundings.
enum Startup {
    static let environment: [String: String] = {
        var found: [String: String] = [:]
        var next = environ
        while let entry = next.pointee {
            let text = String(cString: entry)
            if let sign = text.firstIndex(of: "=") {
                found[String(text[..<sign])] = String(text[text.index(after: sign)...])
            }
            next += 1
        }
        return found
    }()

    /// Empty if there is no such file.
    static func text(of path: String) -> String {
        guard let file = fopen(path, "re") else { return "" }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while bytes.count < 1 << 20 {
            let count = fread(&chunk, 1, chunk.count, file)
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The settings, with the image's presets and the list of resolvers beside them.
    static func configuration() throws -> SidecarConfiguration {
        var configuration = try SidecarConfiguration(
            environment: environment, resolvConf: text(of: "/etc/resolv.conf"),
            presets: try Presets.load(folder: policies),
            knownResolvers: { () throws(EgressError) in try KnownResolvers.load(folder: policies) })
        if configuration.sharesConnections { configuration.budgets.connections = ConnectionShare.standard }
        return configuration
    }

    private static var policies: String {
        environment["OPENSANDBOX_EGRESS_PRESETS_DIR"] ?? "/usr/share/sallyport/policies"
    }

    static func logger(_ level: Logger.Level) -> Logger {
        var logger = Logger(label: "sallyport-egress") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = level
        return logger
    }

    static func metrics(_ configuration: SidecarConfiguration) -> MetricsRegistry {
        Observability.bootstrapMetrics(
            common: configuration.outlets.attributes.map { MetricsRegistry.Dimension($0.name, $0.value) })
    }

    /// Sends metrics and traces to a collector, if one is configured. The sandbox's policy does not apply to that.
    static func exports(
        _ metrics: OTLPConfiguration?, _ traces: TraceConfiguration?, _ registry: MetricsRegistry, of sidecar: Sidecar
    ) -> Exports {
        registry.collect(ResourceUse(prefix: "egress"))
        registry.collect {
            [
                .init("egress.nftables.rules.count", .gauge, Double(sidecar.ruleCount)),
                .init("sallyport_egress_lists_stale", .gauge, sidecar.hasStaleLists ? 1 : 0),
            ]
        }
        return Exports(
            metrics: metrics, traces: traces, registry: registry, scope: "opensandbox/egress", client: sidecar.client,
            logger: logger(sidecar.configuration.logLevel))
    }

    static func announce(_ sidecar: Sidecar) {
        let logger = logger(sidecar.configuration.logLevel)
        logger.info(
            "guarding",
            metadata: [
                "sandbox": "\(sidecar.configuration.sandboxID)", "api": "\(sidecar.configuration.address)",
                "mode": "\(sidecar.configuration.mode.rawValue)",
                "upstreams": "\(sidecar.configuration.dns.upstreams.map(\.description).joined(separator: " "))",
            ])
        if sidecar.configuration.token == nil {
            logger.warning(
                "neither OPENSANDBOX_EGRESS_TOKEN nor …_TOKEN_FILE: whoever reaches the API from outside may change the policy"
            )
        }
        if sidecar.configuration.dns.upstreams.isEmpty {
            logger.warning("no upstream in OPENSANDBOX_EGRESS_DNS_UPSTREAM or /etc/resolv.conf: no name will resolve")
        }
        if sidecar.configuration.mayAskItself {
            logger.warning(
                "Docker's resolver may ask others from inside this namespace, and be led back: if names do not resolve, set OPENSANDBOX_EGRESS_DNS_UPSTREAM"
            )
        }
    }
}
