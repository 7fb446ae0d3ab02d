import Addresses
import DNSFilter
import Egress
import FlowCheck
import HTTPClient
import JSON
import NetworkPolicy

/// The guard.
extension Settings {
    static let egressSection = SettingSection(
        "egress", "What sandboxes reach.",
        [
            SettingKey(
                "upstreams", "addresses such as 198.51.100.53, [::1]:5353 or tls://198.51.100.53",
                example: "[\"198.51.100.53\"]", "resolvers; absent: those of /etc/resolv.conf"
            ) { (value, settings) throws(ConfigurationError) in
                let upstreams = try value.list { UpstreamAddress($0) }
                guard !DNSConfiguration(upstreams: upstreams).mixesClearText else {
                    throw ConfigurationError(
                        "\(value.path): names must not fall back from tls:// to clear text; use one of the two")
                }
                settings.egress.upstreams = upstreams
            },
            SettingKey(
                "internal_zones", "domain names", default: "[]",
                "zones whose names may have private addresses, beside resolv.conf's search domains and cluster.local"
            ) { (value, settings) throws(ConfigurationError) in
                settings.egress.internalZones = try value.entries().map { entry throws(ConfigurationError) in
                    try name(entry)
                }
            },
            SettingKey(
                "internal_ranges", "address blocks",
                default: "[\(Settings().egress.internalRanges.map { "\"\($0)\"" }.joined(separator: ", "))]",
                "private addresses, which only names of these zones may have"
            ) { (value, settings) throws(ConfigurationError) in
                settings.egress.internalRanges = try value.blocks()
            },
            .choice("refusal", \.egress.dns.refusal, "what a denied name gets"),
            SettingKey(
                "tls_ca_file", "an absolute path", example: "\"\"",
                "PEM file of the authorities for upstreams over TLS; absent: the system's"
            ) { (value, settings) throws(ConfigurationError) in
                guard let path = try value.textOrNothing() else { return }
                guard path.hasPrefix("/") else { throw value.wrong() }
                settings.egress.dns.tlsAuthorities = path
            },
            SettingKey("upstream_timeout_seconds", "1 to 120", example: "2", "seconds for one upstream; absent: 1.5") {
                (value, settings) throws(ConfigurationError) in
                settings.egress.dns.timeout = UInt64(try value.integer(in: 1...120)) * 1000
            },
            SettingKey(
                "upstream_probe", "a domain name, or \".\"", default: "\".\"", "what a silent upstream is asked for"
            ) {
                (value, settings) throws(ConfigurationError) in
                if try value.text() != "." { settings.egress.dns.probeName = try name(value) }
            },
            SettingKey(
                "upstream_probe_interval_seconds", "0 to 3600",
                default: "\(Settings().egress.dns.probeInterval / 1000)",
                "seconds between two such questions; 0: never"
            ) { (value, settings) throws(ConfigurationError) in
                settings.egress.dns.probeInterval = UInt64(try value.integer(in: 0...3600)) * 1000
            },
            .flag(
                "randomize_case", \.egress.dns.randomisesCase,
                "letters of questions in random case (0x20); false for upstreams that keep no case and speak no TCP"),
            .choice(
                "placement", \.egress.placement,
                "where the guards of containers are: this machine's one guard, or one beside each (docs/docker.md)"),
            .optionalText("image", "an image", \.egress.image, "the image of a guard beside a container"),
            .integer(
                "readiness_timeout_seconds", 1...600, \.egress.readiness, "seconds that such a guard may take to start"),
            .flag("external", \.egress.isExternal, "true: `sallyport guard` runs it in a process of its own"),
            SettingKey(
                "metrics_listen", "127.0.0.1:9465, [::1]:9465 or :9465", example: "\"\"",
                "where `sallyport guard` serves metrics then"
            ) { (value, settings) throws(ConfigurationError) in
                guard let text = try value.textOrNothing() else { return }
                guard let address = ListenAddress(text) else { throw value.wrong() }
                settings.egress.metricsAddress = address
            },
            SettingKey(
                "mode", "dns+nft or \(FlowCheckSettings.mode)", default: "\"dns+nft\"",
                "\(FlowCheckSettings.mode): connections must also state a name that their address was learned for"
            ) { (value, settings) throws(ConfigurationError) in
                switch try value.text() {
                case "dns+nft": break
                case FlowCheckSettings.mode: settings.egress.flowCheck = FlowCheckSettings()
                default: throw value.wrong()
                }
            },
            SettingKey(
                "unchecked_ports", "a list of ports", default: "[]",
                "in that mode: ports of learned addresses for what is neither TLS nor HTTP"),
            path(
                "default_policy", "the absolute path of a file", \.egress.defaultPolicy,
                "the policy of sandboxes that are created without one, as JSON; absent: they reach everything outside"
            ).live,
            path(
                "rules_dir", "the absolute path of a folder", \.egress.rulesFolder,
                "the folder with deny.always and allow.always, which outrank every policy and are read again when they change"
            ),
            .optionalText(
                "presets", "a folder", \.egress.presets, "the folder of presets; absent: looked for beside the program"),
            path(
                "own_presets", "the absolute path of a folder", \.egress.ownPresets,
                "a folder of presets of your own, beside those"),
            .flag(
                "block_dot", \.egress.blocksDNSOverTLS,
                "true: port 853 (DNS over TLS and QUIC) is closed whatever policies say"),
            SettingKey(
                "block_doh", "known, names, addresses and blocks", default: "[]",
                "[\"known\"]: known resolvers' names, and port 443 of their addresses"
            ) { (value, settings) throws(ConfigurationError) in
                settings.egress.blockedResolvers = try value.list {
                    $0 == "known" || (try? Target($0)) != nil ? $0 : nil
                }
            },
            .optionalText("audit_log", "a path", \.egress.auditLog, "a file for every decision, a line of JSON each"),
            .integer(
                "audit_log_max_bytes", 0 ... .max, \.egress.auditLogLimit,
                "bytes after which it is put aside as <file>.1; 0: never",
                advice: "0 or more"),
            SettingKey(
                "deny_webhook", "an http:// or https:// URL without a password", example: "\"\"",
                "is told of denied names: http://host:port/path", isSecret: true
            ) { (value, settings) throws(ConfigurationError) in
                guard let text = try value.textOrNothing() else { return }
                guard let endpoint = HTTPEndpoint(text) else { throw value.wrong() }
                settings.egress.denyWebhook = endpoint
            },
        ]
    ) { (values, settings) throws(ConfigurationError) in
        guard let value = values["unchecked_ports"] else { return }
        let ports = try value.entries().map { entry throws(ConfigurationError) in
            UInt16(try SettingValue(path: entry.path, advice: "1 to 65535", value: entry.value).integer(in: 1...65535))
        }
        guard !ports.isEmpty else { return }
        guard settings.egress.flowCheck != nil else {
            throw ConfigurationError("\(value.path) needs egress.mode = \"\(FlowCheckSettings.mode)\"")
        }
        settings.egress.flowCheck?.uncheckedPorts = ports
    }

    static let budgetsSection = SettingSection(
        "egress.budgets", "Of each sandbox; 0 is no limit (docs/egress.md).",
        [
            budget("queries_per_second", \.queriesPerSecond, "names asked for"),
            budget("distinct_names_per_hour", \.distinctNamesPerHour, "different names asked for"),
            budget(
                "wildcard_bytes_per_minute", \.wildcardBytesPerMinute,
                "information in names under one allowed wildcard"),
            budget("wildcard_burst_bytes", \.wildcardBurst, "bytes of that at once"),
            budget("connections_per_second", \.connectionsPerSecond, "new connections"),
            SettingKey(
                "connections", budgetValues, example: "4096",
                "connections open at one time; absent: a share of what the machine's conntrack table holds"
            ) { (value, settings) throws(ConfigurationError) in
                settings.egress.budgets.connections = try value.integer(in: 0...EgressBudgets.most)
            },
            budget("bytes_out", \.bytesOut, "bytes of IP packets that leave, in its life"),
        ]
    ) { (values, settings) throws(ConfigurationError) in
        settings.egress.sharesConnections = values["connections"] == nil
    }

    private static let budgetValues = "0 for no limit, or a number up to 10^12"

    private static func budget(
        _ name: String, _ place: any WritableKeyPath<EgressBudgets, Int> & Sendable, _ summary: String
    ) -> SettingKey {
        SettingKey(
            name, budgetValues, default: "\(EgressBudgets()[keyPath: place])", summary
        ) { (value, settings) throws(ConfigurationError) in
            settings.egress.budgets[keyPath: place] = try value.integer(in: 0...EgressBudgets.most)
        }
    }

    /// "" counts as absent.
    private static func path(
        _ name: String, _ values: String, _ place: any WritableKeyPath<Settings, String?> & Sendable, _ summary: String
    ) -> SettingKey {
        SettingKey(name, values, example: "\"\"", summary) { (value, settings) throws(ConfigurationError) in
            let path = try value.textOrNothing()
            guard path?.hasPrefix("/") != false else { throw value.wrong() }
            settings[keyPath: place] = path
        }
    }

    private static func name(_ value: SettingValue) throws(ConfigurationError) -> DomainName {
        let text = try value.text()
        do { return try DomainName(text) } catch { throw ConfigurationError("\(value.path): \"\(text)\": \(error)") }
    }
}
