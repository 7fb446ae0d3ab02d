import DNSFilter
import Egress
import HTTPClient
import NetworkPolicy

extension Settings {
    mutating func apply(_ section: ConfigurationFile.Egress) throws(ConfigurationError) {
        egress.isExternal = section.external ?? egress.isExternal
        egress.presets = section.presets ?? egress.presets
        try applyMode(section)
        if let texts = section.upstreams {
            let upstreams = try texts.map { text throws(ConfigurationError) in
                guard let upstream = UpstreamAddress(text) else {
                    throw ConfigurationError(
                        "egress.upstreams: \"\(text)\" is not an address; write 198.51.100.53, [::1]:5353 or tls://198.51.100.53"
                    )
                }
                return upstream
            }
            guard !DNSConfiguration(upstreams: upstreams).mixesClearText else {
                throw ConfigurationError(
                    "egress.upstreams: names must not fall back from tls:// to clear text; use one of both")
            }
            egress.upstreams = upstreams
        }
        if let texts = section.internal_zones {
            egress.internalZones = try texts.map { text throws(ConfigurationError) in
                try Self.name(text, "egress.internal_zones")
            }
        }
        if let texts = section.internal_ranges {
            egress.internalRanges = try texts.map { text throws(ConfigurationError) in
                guard let block = CIDRBlock(text) else {
                    throw ConfigurationError("egress.internal_ranges: \"\(text)\" is not an address block")
                }
                return block
            }
        }
        try applyResolution(section)
        try applyLimits(section)
    }

    private mutating func applyLimits(_ section: ConfigurationFile.Egress) throws(ConfigurationError) {
        if let budgets = section.budgets { try apply(budgets) }
        if let path = section.audit_log, !path.isEmpty { egress.auditLog = path }
        if let limit = section.audit_log_max_bytes {
            guard limit >= 0 else { throw ConfigurationError("egress.audit_log_max_bytes is \(limit); give 0 or more") }
            egress.auditLogLimit = limit
        }
        if let text = section.deny_webhook, !text.isEmpty {
            guard let endpoint = HTTPEndpoint(text) else {
                throw ConfigurationError("egress.deny_webhook: use an http:// or https:// URL without a password")
            }
            egress.denyWebhook = endpoint
        }
        if let text = section.metrics_listen, !text.isEmpty {
            guard let address = SidecarAddress(text) else {
                throw ConfigurationError("egress.metrics_listen \"\(text)\": write 127.0.0.1:9465, [::1]:9465 or :9465")
            }
            egress.metricsAddress = address
        }
        egress.blocksDNSOverTLS = section.block_dot ?? egress.blocksDNSOverTLS
        if let texts = section.block_doh {
            egress.blockedResolvers = try texts.map { text throws(ConfigurationError) in
                guard text == "known" || (try? Target(text)) != nil else {
                    throw ConfigurationError(
                        "egress.block_doh: \"\(text)\" is not a target; write known, a name, an address or a block")
                }
                return text
            }
        }
    }

    private mutating func applyMode(_ section: ConfigurationFile.Egress) throws(ConfigurationError) {
        switch section.mode {
        case nil, "dns+nft": break
        case FlowCheckSettings.mode: egress.flowCheck = FlowCheckSettings()
        case let mode?: throw ConfigurationError("egress.mode \"\(mode)\": use dns+nft or \(FlowCheckSettings.mode)")
        }
        guard let numbers = section.unchecked_ports, !numbers.isEmpty else { return }
        let ports = try numbers.map { number throws(ConfigurationError) in
            guard let port = UInt16(exactly: number), port > 0 else {
                throw ConfigurationError("egress.unchecked_ports: \(number) is not a port; use 1 to 65535")
            }
            return port
        }
        guard egress.flowCheck != nil else {
            throw ConfigurationError("egress.unchecked_ports needs egress.mode = \"\(FlowCheckSettings.mode)\"")
        }
        egress.flowCheck?.uncheckedPorts = ports
    }

    private mutating func applyResolution(_ section: ConfigurationFile.Egress) throws(ConfigurationError) {
        if let seconds = section.upstream_timeout_seconds {
            guard (1...120).contains(seconds) else {
                throw ConfigurationError("egress.upstream_timeout_seconds is \(seconds); use 1 to 120")
            }
            egress.dns.timeout = UInt64(seconds) * 1000
        }
        if let text = section.upstream_probe, text != "." {
            egress.dns.probeName = try Self.name(text, "egress.upstream_probe")
        }
        if let seconds = section.upstream_probe_interval_seconds {
            guard (0...3600).contains(seconds) else {
                throw ConfigurationError("egress.upstream_probe_interval_seconds is \(seconds); use 0 to 3600")
            }
            egress.dns.probeInterval = UInt64(seconds) * 1000
        }
        if let path = section.tls_ca_file, !path.isEmpty {
            guard path.hasPrefix("/") else {
                throw ConfigurationError("egress.tls_ca_file \"\(path)\": use an absolute path")
            }
            egress.dns.tlsAuthorities = path
        }
        egress.dns.randomisesCase = section.randomize_case ?? egress.dns.randomisesCase
        if let text = section.refusal {
            guard let refusal = DNSConfiguration.Refusal(rawValue: text) else {
                throw ConfigurationError("egress.refusal \"\(text)\" is unknown; use nxdomain or refused")
            }
            egress.dns.refusal = refusal
        }
    }

    private static func name(_ text: String, _ key: String) throws(ConfigurationError) -> DomainName {
        do { return try DomainName(text) } catch { throw ConfigurationError("\(key): \"\(text)\": \(error)") }
    }

    private mutating func apply(_ section: ConfigurationFile.Egress.Budgets) throws(ConfigurationError) {
        let keys: [(String, Int?, WritableKeyPath<EgressBudgets, Int>)] = [
            ("queries_per_second", section.queries_per_second, \.queriesPerSecond),
            ("distinct_names_per_hour", section.distinct_names_per_hour, \.distinctNamesPerHour),
            ("wildcard_bytes_per_minute", section.wildcard_bytes_per_minute, \.wildcardBytesPerMinute),
            ("wildcard_burst_bytes", section.wildcard_burst_bytes, \.wildcardBurst),
            ("connections_per_second", section.connections_per_second, \.connectionsPerSecond),
            ("connections", section.connections, \.connections), ("bytes_out", section.bytes_out, \.bytesOut),
        ]
        for (key, number, path) in keys {
            guard let number else { continue }
            guard (0...EgressBudgets.most).contains(number) else {
                throw ConfigurationError(
                    "egress.budgets.\(key) is \(number); use 0 for no limit, or a number up to 10^12")
            }
            egress.budgets[keyPath: path] = number
        }
        egress.sharesConnections = section.connections == nil
    }
}
