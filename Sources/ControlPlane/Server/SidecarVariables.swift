import DNSFilter
import Egress
import FlowCheck
import HTTPClient

/// What `[egress]` says, in the variables of a guard beside a sandbox (docs/egress-sidecar.md): its settings are those of this
/// machine's guard, whichever guards.
extension Settings.Egress {
    /// - Throws: for what a guard in a container cannot be told.
    func sidecarVariables() throws(ConfigurationError) -> [String: String] {
        for (name, isSet) in [("tls_ca_file", dns.tlsAuthorities != nil), ("audit_log", auditLog != nil)] {
            guard !isSet else {
                throw ConfigurationError(
                    "egress.\(name) is a file of this machine's, which a guard beside a sandbox does not have: leave it out "
                        + "with egress.placement = \"sidecar\"")
            }
        }
        guard !internalRanges.isEmpty else {
            throw ConfigurationError(
                "egress.internal_ranges: with egress.placement = \"sidecar\" name at least one block")
        }
        var all = [
            "MODE": flowCheck == nil ? "dns+nft" : FlowCheckSettings.mode,
            "BLOCK_DOT": "\(blocksDNSOverTLS)",
            "INTERNAL_RANGES": Self.list(internalRanges),
            "DNS_REFUSAL": dns.refusal.rawValue, "DNS_0X20": dns.randomisesCase ? "on" : "off",
            "DNS_UPSTREAM_PROBE_INTERVAL_SEC": "\(dns.probeInterval / 1000)",
        ]
        if let upstreams { all["DNS_UPSTREAM"] = Self.list(upstreams) }
        // What is not set is no whole number of seconds.
        if dns.timeout.isMultiple(of: 1000) { all["DNS_UPSTREAM_TIMEOUT"] = "\(dns.timeout / 1000)" }
        if let name = dns.probeName { all["DNS_UPSTREAM_PROBE"] = "\(name)" }
        if !internalZones.isEmpty { all["INTERNAL_ZONES"] = Self.list(internalZones) }
        if !blockedResolvers.isEmpty { all["DOH_BLOCKLIST"] = Self.list(blockedResolvers) }
        if let ports = flowCheck?.uncheckedPorts, !ports.isEmpty { all["UNCHECKED_PORTS"] = Self.list(ports) }
        if let denyWebhook { all["DENY_WEBHOOK"] = "\(denyWebhook)\(denyWebhook.target)" }
        let numbers = [
            "QUERIES_PER_SECOND": budgets.queriesPerSecond, "DISTINCT_NAMES_PER_HOUR": budgets.distinctNamesPerHour,
            "WILDCARD_BYTES_PER_MINUTE": budgets.wildcardBytesPerMinute, "WILDCARD_BURST_BYTES": budgets.wildcardBurst,
            "CONNECTIONS_PER_SECOND": budgets.connectionsPerSecond, "BYTES_OUT": budgets.bytesOut,
        ]
        for (name, number) in numbers { all["BUDGET_" + name] = "\(number)" }
        if !sharesConnections { all["BUDGET_CONNECTIONS"] = "\(budgets.connections)" }
        return Dictionary(uniqueKeysWithValues: all.map { ("OPENSANDBOX_EGRESS_" + $0, $1) })
    }

    private static func list(_ values: [some Any]) -> String { values.map { "\($0)" }.joined(separator: ",") }
}
