import Addresses
import DNSFilter
import Egress
import NetworkPolicy
import Testing

@testable import ControlPlane
@testable import EgressSidecar

@Suite struct SidecarVariablesTests {
    private func variables(_ text: String) throws -> [String: String] {
        var settings = Settings()
        try settings.apply(text: "[egress]\n" + text, path: "test.toml")
        return try settings.egress.sidecarVariables()
    }

    @Test func `a guard beside a sandbox reads in its variables what the configuration says`() throws {
        let told = try variables(
            """
            upstreams = ["198.51.100.53", "[2001:db8::53]:5353"]
            upstream_timeout_seconds = 7
            upstream_probe = "probe.example"
            upstream_probe_interval_seconds = 90
            randomize_case = false
            refusal = "refused"
            internal_zones = ["corp.example"]
            internal_ranges = ["10.0.0.0/8", "fd00::/8"]
            mode = "dns+nft+sni"
            unchecked_ports = [22, 5432]
            block_dot = true
            block_doh = ["198.51.100.9", "doh.example"]
            deny_webhook = "http://hook.example:8081/a/path?b=c"
            [egress.budgets]
            queries_per_second = 11
            distinct_names_per_hour = 12
            wildcard_bytes_per_minute = 13
            wildcard_burst_bytes = 14
            connections_per_second = 15
            connections = 16
            bytes_out = 17
            """)
        let read = try SidecarConfiguration(environment: told)
        #expect(read.dns.upstreams.map(\.description) == ["198.51.100.53:53", "[2001:db8::53]:5353"])
        #expect(read.dns.timeout == 7000 && read.dns.probeInterval == 90_000)
        #expect(read.dns.probeName?.description == "probe.example")
        #expect(!read.dns.randomisesCase && read.dns.refusal == .refused)
        #expect(read.internalZones.map(\.description) == ["corp.example", "cluster.local"])
        #expect(read.internalRanges.map(\.description) == ["10.0.0.0/8", "fd00::/8"])
        #expect(read.mode == .checkedFlows && read.uncheckedPorts == [22, 5432])
        #expect(read.resolverBlock.overTLS)
        guard case .targets(let targets) = read.resolverBlock.overHTTPS else {
            Issue.record("no resolver is blocked")
            return
        }
        #expect(targets.map(\.description) == ["198.51.100.9", "doh.example"])
        #expect(told["OPENSANDBOX_EGRESS_DENY_WEBHOOK"] == "http://hook.example:8081/a/path?b=c")
        let budgets = read.budgets
        #expect(
            [
                budgets.queriesPerSecond, budgets.distinctNamesPerHour, budgets.wildcardBytesPerMinute,
                budgets.wildcardBurst, budgets.connectionsPerSecond, budgets.connections, budgets.bytesOut,
            ] == Array(11...17))
        #expect(!read.sharesConnections)
    }

    @Test func `what nobody has set is the same beside a sandbox and on the machine`() throws {
        let read = try SidecarConfiguration(environment: variables("")), own = Settings().egress
        #expect(read.mode == .namesAndAddresses && !read.resolverBlock.overTLS && read.dns.upstreams == [])
        #expect(read.internalRanges == own.internalRanges && read.dns.refusal == own.dns.refusal)
        #expect(read.sharesConnections && read.budgets.wildcardBurst == own.budgets.wildcardBurst)
    }

    @Test(arguments: ["tls_ca_file = \"/a/file\"", "audit_log = \"/a/file\"", "internal_ranges = []"])
    func `what a container cannot be told is refused by name`(line: String) throws {
        let error = try #require(throws: ConfigurationError.self) { try variables(line) }
        #expect("\(error)".contains("egress." + line.prefix { $0 != " " }))
    }
}
