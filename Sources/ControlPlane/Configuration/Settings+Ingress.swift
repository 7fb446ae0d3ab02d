import Addresses
import Egress
import Ingress
import JSON
import NetworkPolicy
import SecureAccess

/// The gateway.
extension Settings {
    static let ingressSection = SettingSection(
        "ingress", "Who reaches sandboxes.",
        [
            SettingKey(
                "mode", "\"gateway\", or leave it out: there is always one", default: "\"gateway\"",
                "how they are reached"
            ) {
                (value, _) throws(ConfigurationError) in
                guard try value.text() == "gateway" else { throw value.wrong() }
            },
            .text("host", "an address of this machine", \.gateway.host, "0.0.0.0 opens the gateway to the network"),
            .integer("port", 1...65535, \.gateway.port, "where the gateway listens"),
            SettingKey(
                "user", "a name of a user, or an id, that is not root's and owns nothing",
                default: "\"\(Settings().gateway.user)\"", "the user that the gateway runs as (docs/processes.md)"
            ) { (value, settings) throws(ConfigurationError) in
                let id = try user(value)
                guard id != 0 else { throw value.wrong() }
                settings.gateway.user = id
            },
            .flag("external", \.gateway.isExternal, "true: `sallyport ingress` runs it in a process of its own"),
            .flag(
                "conceal_unknown", \.gateway.concealsUnknown, "true: unknown sandboxes answer as forbidden ones do"),
            .integer("head_timeout_seconds", 1...3600, \.gateway.headTimeout, "seconds for a request's head"),
            .integer(
                "body_timeout_seconds", 1...3600, \.gateway.bodyTimeout, "seconds for each 4 KiB of a request's body"),
            SettingKey.choice(
                "access_log", \.gateway.accessLog,
                "requests that get a line in the log: none, those that failed, or each (docs/observability.md)"
            ).live,
            .flag(
                "identity_header", \.gateway.tellsIdentity,
                "sandboxes are told what opened them (OpenSandbox-Access-Identity)"),
            .flag(
                "reach_loopback", \.gateway.reachesLoopback,
                "false: servers that listen on a sandbox's 127.0.0.1 or ::1 are not reached"),
            .flag(
                "cookies", \.gateway.cookies,
                "with mode \"uri\": a cookie for what signed pages load (docs/ingress.md)"),
            SettingKey(
                "trusted_proxies", "addresses and blocks, 192.0.2.1 or 2001:db8::/32", default: "[]",
                "whose X-Forwarded-For is believed"
            ) { (value, settings) throws(ConfigurationError) in
                guard let proxies = TrustedProxies(try value.texts()) else { throw value.wrong() }
                settings.gateway.trustedProxies = proxies
            },
        ])

    static let limitsSection = SettingSection(
        "ingress.limits", "What is left out is not limited.",
        [
            limit(
                "client_rate", "50", \.gateway.traffic.clientRate,
                "requests a second of one client (an IPv4 address, an IPv6 /64)"),
            .integer("client_burst", 1...EgressBudgets.most, \.gateway.traffic.clientBurst, "how many of those at once")
                .live,
            limit(
                "client_connections", "200", \.gateway.traffic.clientConnections,
                "connections of one client at one time"),
            limit(
                "route_rate", "500", \.gateway.traffic.routeRate, "permitted requests a second to one port of a sandbox"
            ),
            .integer("route_burst", 1...EgressBudgets.most, \.gateway.traffic.routeBurst, "how many of those at once")
                .live,
            limit(
                "sandbox_concurrency", "1000", \.gateway.traffic.sandboxConcurrency,
                "requests, streams and tunnels to one sandbox at once"),
            limit("max_body_bytes", "1073741824", \.gateway.traffic.maxBody, "bytes of one request's body"),
        ])

    /// A limit that does not apply unless it is set. All of them change while the gateway runs.
    private static func limit(
        _ name: String, _ shown: String, _ place: any SettingKey.Place<Int?>, _ summary: String
    ) -> SettingKey {
        SettingKey(name, "1 to 10^12, or leave it out", example: shown, summary) {
            (value, settings) throws(ConfigurationError) in
            settings[keyPath: place] = try value.integer(in: 1...EgressBudgets.most)
        }.live
    }

    static let directorySection = SettingSection(
        "ingress.directory", "Where gateways in other processes learn of sandboxes, beside run_dir/directory.sock.",
        [
            SettingKey(
                "listen", "host:port", example: "\"127.0.0.1:28889\"",
                "an address for gateways that cannot reach the socket"),
            SettingKey(
                "plaintext", "true or false", default: "false",
                "true: also on an address of a network that only gateways share"),
        ]
    ) { (values, settings) throws(ConfigurationError) in
        let isPlaintext = try values["plaintext"]?.flag() ?? false
        guard let value = values["listen"], let text = try value.textOrNothing() else { return }
        let address: DirectoryAddress
        do { address = try DirectoryAddress(text) } catch { throw ConfigurationError("\(value.path): \(error)") }
        guard case .tcp = address.place else {
            throw ConfigurationError("\(value.path): the unix socket is always there; give host:port, or nothing")
        }
        guard !address.leavesMachine || isPlaintext else {
            throw ConfigurationError(
                "\(value.path) \"\(text)\" would send the directory and its secrets to other machines unencrypted: use a "
                    + "loopback address, or set plaintext = true where only gateways share the network")
        }
        settings.gateway.directory = address
    }

    static let gatewaySection = SettingSection(
        "ingress.gateway", "What endpoints name.",
        [
            .optionalText(
                "address", "host:port", \.gateway.address, example: "127.0.0.1:28888",
                "what endpoints tell clients; needed where ingress.host is 0.0.0.0 or ::; absent: ingress.host and port"
            )
        ]
    ) { (_, settings) throws(ConfigurationError) in
        // For a listener it means every address of the machine; a client cannot connect to it.
        let host = settings.gateway.host
        guard settings.gateway.address == nil, let address = IPAddress(host)?.unmapped,
            address.bytes.allSatisfy({ $0 == 0 })
        else { return }
        throw ConfigurationError(
            "ingress.host \"\(host)\" listens on every address, so endpoints cannot name it: set ingress.gateway.address to "
                + "what clients reach the gateway by, such as \"sandboxes.example:\(settings.gateway.port)\"")
    }

    static let routeSection = SettingSection(
        "ingress.gateway.route", "Where requests say which sandbox they are for.",
        [
            .choice(
                "mode", \.gateway.routing, "a header, the beginning of the path, or a name below the gateway's domain")
        ]
    ) { (_, settings) throws(ConfigurationError) in
        if settings.gateway.routing == .wildcard {
            let domain = settings.gateway.address.map { $0.prefix { $0 != ":" } } ?? ""
            guard !domain.isEmpty, IPAddress(domain) == nil, (try? DomainName(String(domain))) != nil else {
                throw ConfigurationError(
                    "ingress.gateway.route.mode \"wildcard\" needs a domain whose names lead to the gateway: give it in "
                        + "ingress.gateway.address")
            }
        }
        guard !settings.gateway.cookies || settings.gateway.routing == .uri else {
            throw ConfigurationError(
                "ingress.cookies are for routes in paths (ingress.gateway.route.mode = \"uri\"): elsewhere what a page loads "
                    + "has the page's host name, signature and all")
        }
    }

    static let secureAccessSection = SettingSection(
        "ingress.secure_access", "Signed routes (docs/secure-access.md).",
        [
            SettingKey(
                "v1", "accept or refuse", default: "\"accept\"",
                "refuse: signed routes of version 1 (32 bits) open nothing"
            ) { (value, settings) throws(ConfigurationError) in
                switch try value.text() {
                case "accept": settings.gateway.acceptsVersion1 = true
                case "refuse": settings.gateway.acceptsVersion1 = false
                default: throw value.wrong()
                }
            },
            SettingKey(
                "sign", "2 or 1", default: "2",
                "1: endpoints get signed routes of version 1, for gateways that know no other"
            ) { (value, settings) throws(ConfigurationError) in
                guard let version = RouteToken.Version(rawValue: try value.integer(in: 1...2)) else {
                    throw value.wrong()
                }
                settings.gateway.signs = version
            },
            SettingKey(
                "active_key", "one character of 0-9 and a-z", example: "\"a\"", "absent: a key is generated and kept"),
        ],
        lists: [
            SettingList(
                name: "keys", summary: "keys that signatures are checked with",
                keys: [
                    .init(name: "key_id", example: "a", summary: "one character of 0-9 and a-z"),
                    .init(name: "key", example: "c2VjcmV0", summary: "in base64"),
                ])
        ]
    ) { (values, settings) throws(ConfigurationError) in
        guard settings.gateway.signs == .two || settings.gateway.acceptsVersion1 else {
            throw ConfigurationError(
                "ingress.secure_access: sign = 1 makes tokens that v1 = \"refuse\" does not accept")
        }
        let keys = values.tables["keys"]
        guard keys != nil || values["active_key"] != nil else { return }
        guard let active = try values["active_key"]?.text(), active.count == 1 else {
            throw ConfigurationError("ingress.secure_access.active_key: use one character of 0-9 and a-z")
        }
        let entries = (keys ?? []).map { "\($0["key_id"]!)=base64:\($0["key"]!)" }.joined(separator: ",")
        do {
            settings.gateway.keys = try KeyRing.parse(entries, active: active.first)
        } catch {
            throw ConfigurationError("ingress.secure_access: \(error)")
        }
    }
}
