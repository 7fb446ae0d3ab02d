import DNSFilter
import Egress
import NetworkPolicy

/// The DNS settings.
extension SidecarConfiguration {
    static func dns(
        _ values: SidecarVariables, known: [UpstreamAddress]
    ) throws(SidecarConfigurationError) -> DNSConfiguration {
        let most =
            try values.read("MAX_NS", "use a number from 1 to 10") {
                Self.number($0).flatMap { (1...10).contains($0) ? $0 : nil }
            } ?? 3
        let named = try values.list(
            "DNS_UPSTREAM", "use addresses, each with an optional port, or tls://ADDRESS:PORT#NAME"
        ) { UpstreamAddress($0) }
        var dns = DNSConfiguration(upstreams: named ?? Array(known.prefix(most)))
        guard !dns.mixesClearText else {
            throw values.wrong("DNS_UPSTREAM", "names must not fall back from TLS to clear text; use one of the two")
        }
        dns.timeout =
            try values.read("DNS_UPSTREAM_TIMEOUT", "use seconds from 1 to 120") {
                Self.number($0).flatMap { (1...120).contains($0) ? UInt64($0) * 1000 : nil }
            } ?? 5000
        dns.probeName =
            try values.read("DNS_UPSTREAM_PROBE", "use a name") { text -> DomainName?? in
                text == "." ? .some(nil) : (try? DomainName(text)).map { .some($0) }
            } ?? nil
        dns.probeInterval =
            try values.read("DNS_UPSTREAM_PROBE_INTERVAL_SEC", "use seconds from 0 to 3600; 0 for no probes") {
                Self.number($0).flatMap { (0...3600).contains($0) ? UInt64($0) * 1000 : nil }
            } ?? dns.probeInterval
        dns.randomisesCase =
            try values.read("DNS_0X20", "use on or off") { ["on": true, "off": false][$0.lowercased()] } ?? true
        dns.refusal =
            try values.read("DNS_REFUSAL", "use nxdomain or refused") {
                DNSConfiguration.Refusal(rawValue: $0.lowercased())
            } ?? dns.refusal
        dns.tlsAuthorities = try values.read("DNS_TLS_CA_FILE", "use an absolute path") {
            $0.hasPrefix("/") ? $0 : nil
        }
        dns.cacheBytes = 1 << 20
        return dns
    }
}
