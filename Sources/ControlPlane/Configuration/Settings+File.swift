import DNSFilter
import Egress
import FoundationEssentials
import HTTPClient
import Ingress
import NetworkPolicy
import Observability
import Redis
import Runtimes
import SecureAccess
import Spelling

#if canImport(Glibc)
    import Glibc
#endif

extension Settings {
    /// Reads `path`, else the file that `SANDBOX_CONFIG_PATH` names, else `~/.sandbox.toml` where there is one, then the
    /// environment's overrides (CLIENTS.md, appendix D).
    public static func load(
        path: String?, environment: [String: String]
    ) throws(ConfigurationError) -> Settings {
        var settings = Settings()
        let home = (environment["HOME"] ?? "/root") + "/.sandbox.toml"
        let named = path ?? environment["SANDBOX_CONFIG_PATH"].flatMap { $0.isEmpty ? nil : $0 }
        if named != nil || FileManager.default.fileExists(atPath: home) {
            let file = named ?? home
            guard let data = FileManager.default.contents(atPath: file) else {
                throw ConfigurationError("the configuration \(file) cannot be read; `sallyport init-config` writes one")
            }
            try settings.apply(ConfigurationFile.parse(String(decoding: data, as: UTF8.self), path: file))
        }
        try settings.apply(environment: environment)
        return settings
    }

    mutating func apply(_ file: ConfigurationFile) throws(ConfigurationError) {
        guard ["local", nil].contains(file.runtime?.type) else {
            throw ConfigurationError("runtime.type \"\(file.runtime!.type!)\" is not in this version; use \"local\"")
        }
        guard ["sqlite", nil].contains(file.store?.type) else {
            throw ConfigurationError("store.type \"\(file.store!.type!)\" is not in this version; use \"sqlite\"")
        }
        storePath = file.store?.path ?? storePath
        if let level = file.log?.level {
            guard let known = Observability.level(named: level) else {
                throw ConfigurationError("log.level \"\(level)\" is unknown; use DEBUG, INFO, WARNING or ERROR")
            }
            logLevel = known
        }
        if let section = file.server { try apply(section) }
        if let section = file.ingress { try apply(section) }
        if let section = file.local { try apply(section) }
        if let section = file.egress { try apply(section) }
        if let section = file.otel { try apply(section) }
        renewal.isEnabled = file.renew_intent?.enabled ?? renewal.isEnabled
        if let seconds = file.renew_intent?.min_interval_seconds {
            guard (1...86_400).contains(seconds) else {
                throw ConfigurationError("renew_intent.min_interval_seconds is \(seconds); use 1 to 86400")
            }
            renewal.interval = seconds
        }
        if let section = file.renew_intent?.redis, section.enabled == true { try apply(section) }
    }

    private mutating func apply(_ section: ConfigurationFile.RenewIntent.Redis) throws(ConfigurationError) {
        guard let dsn = section.dsn else {
            throw ConfigurationError("renew_intent.redis.dsn is missing; write redis://127.0.0.1:6379/0")
        }
        var redis: Renewal.Redis
        do { redis = Renewal.Redis(address: try RedisAddress(dsn)) } catch {
            throw ConfigurationError("renew_intent.redis.dsn: \(error)")
        }
        redis.queue = section.queue_key ?? redis.queue
        redis.workers = section.consumer_concurrency ?? redis.workers
        redis.queueLimit = section.queue_max_len ?? redis.queueLimit
        guard !redis.queue.isEmpty, (1...64).contains(redis.workers), redis.queueLimit >= 0 else {
            throw ConfigurationError(
                "renew_intent.redis: queue_key is not empty, consumer_concurrency is 1 to 64, queue_max_len is 0 or more"
            )
        }
        renewal.redis = redis
    }

    /// What the programs read of the environment. The sidecar has names of its own.
    private static let variables = [
        "OPENSANDBOX_SERVER_API_KEY", "OPENSANDBOX_SECURE_ACCESS_KEYS", "OPENSANDBOX_SECURE_ACCESS_ACTIVE_KEY",
        "OPENSANDBOX_INSECURE_SERVER",
    ]

    mutating func apply(environment: [String: String]) throws(ConfigurationError) {
        if let problem = Variables.problem(in: environment, known: Self.variables, foreign: "OPENSANDBOX_EGRESS_") {
            throw ConfigurationError("\(problem.variable): \(problem.reason)")
        }
        if let key = environment["OPENSANDBOX_SERVER_API_KEY"] { server.apiKey = key }
        guard let keys = environment["OPENSANDBOX_SECURE_ACCESS_KEYS"], !keys.isEmpty else { return }
        let active = environment["OPENSANDBOX_SECURE_ACCESS_ACTIVE_KEY"].flatMap { $0.isEmpty ? nil : $0 }
        guard active == nil || active!.count == 1 else {
            throw ConfigurationError("OPENSANDBOX_SECURE_ACCESS_ACTIVE_KEY: use one character of 0-9 and a-z")
        }
        do {
            gateway.keys = try KeyRing.parse(keys, active: active?.first)
        } catch {
            throw ConfigurationError("OPENSANDBOX_SECURE_ACCESS_KEYS: \(error)")
        }
    }

    private mutating func apply(_ section: ConfigurationFile.Server) throws(ConfigurationError) {
        server.host = section.host ?? server.host
        server.port = try Self.port(section.port, "server.port") ?? server.port
        server.apiKey = section.api_key ?? server.apiKey
        server.publicHost = section.eip ?? server.publicHost
        server.names = section.names ?? server.names
        server.allowedOrigins = section.allowed_origins ?? server.allowedOrigins
        for origin in server.allowedOrigins where origin != CallerRules.anyOrigin && !CallerRules.isOrigin(origin) {
            throw ConfigurationError(
                "server.allowed_origins: \"\(origin)\" is no origin; write https://host or http://host:port, nothing behind it"
            )
        }
        if let longest = section.max_sandbox_timeout_seconds {
            guard (CreateRequest.shortestTimeout...RequestLimits.longestLife).contains(longest) else {
                throw ConfigurationError(
                    "server.max_sandbox_timeout_seconds is \(longest); use 60 to \(RequestLimits.longestLife) (10 years)"
                )
            }
            server.longestSandboxTimeout = longest
        }
        if let seconds = section.timeout_keep_alive {
            guard (1...86_400).contains(seconds) else {
                throw ConfigurationError("server.timeout_keep_alive is \(seconds); use 1 to 86400")
            }
            server.idleTimeout = seconds
        }
        if let connections = section.limit_concurrency {
            guard connections >= 0 else {
                throw ConfigurationError("server.limit_concurrency is \(connections); give 0 for no limit, or more")
            }
            server.mostConnections = connections == 0 ? .max : connections
        }
    }

    private mutating func apply(_ section: ConfigurationFile.Ingress) throws(ConfigurationError) {
        guard ["gateway", nil].contains(section.mode) else {
            throw ConfigurationError(
                "ingress.mode \"\(section.mode!)\" does not go with the local runtime; use \"gateway\"")
        }
        gateway.host = section.host ?? gateway.host
        gateway.port = try Self.port(section.port, "ingress.port") ?? gateway.port
        gateway.isExternal = section.external ?? gateway.isExternal
        gateway.concealsUnknown = section.conceal_unknown ?? gateway.concealsUnknown
        gateway.headTimeout = try Self.seconds(section.head_timeout_seconds, "head") ?? gateway.headTimeout
        gateway.bodyTimeout = try Self.seconds(section.body_timeout_seconds, "body") ?? gateway.bodyTimeout
        gateway.address = section.gateway?.address ?? gateway.address
        if let mode = section.gateway?.route?.mode {
            guard let known = Routing(rawValue: mode) else {
                throw ConfigurationError(
                    "ingress.gateway.route.mode \"\(mode)\" is unknown; use header, uri or wildcard")
            }
            gateway.routing = known
        }
        if gateway.routing == .wildcard {
            let domain = gateway.address.map { $0.prefix { $0 != ":" } } ?? ""
            guard !domain.isEmpty, IPAddress(domain) == nil, (try? DomainName(String(domain))) != nil else {
                throw ConfigurationError(
                    "ingress.gateway.route.mode \"wildcard\" needs a domain whose names lead to the gateway: give it in "
                        + "ingress.gateway.address")
            }
        }
        if let access = section.secure_access { try apply(access) }
        if let tls = section.tls { try apply(tls) }
        gateway.tellsIdentity = section.identity_header ?? gateway.tellsIdentity
        gateway.cookies = section.cookies ?? gateway.cookies
        gateway.reachesLoopback = section.reach_loopback ?? gateway.reachesLoopback
        guard !gateway.cookies || gateway.routing == .uri else {
            throw ConfigurationError(
                "ingress.cookies are for routes in paths (ingress.gateway.route.mode = \"uri\"): elsewhere what a page loads "
                    + "has the page's host name, signature and all")
        }
        if let texts = section.trusted_proxies {
            guard let proxies = TrustedProxies(texts) else {
                throw ConfigurationError(
                    "ingress.trusted_proxies: use addresses and blocks, 192.0.2.1 or 2001:db8::/32")
            }
            gateway.trustedProxies = proxies
        }
        if let limits = section.limits { try apply(limits) }
        if let text = section.directory?.listen {
            let address: DirectoryAddress
            do { address = try DirectoryAddress(text) } catch {
                throw ConfigurationError("ingress.directory.listen: \(error)")
            }
            guard case .tcp = address.place else {
                throw ConfigurationError(
                    "ingress.directory.listen: the unix socket is always there; give host:port, or nothing")
            }
            guard !address.leavesMachine || section.directory?.plaintext == true else {
                throw ConfigurationError(
                    "ingress.directory.listen \"\(text)\" is told to others than this machine, unencrypted and with secrets "
                        + "in it: use a loopback address, or say plaintext = true for a network that only gateways share"
                )
            }
            gateway.directory = address
        }
    }

    private mutating func apply(_ limits: ConfigurationFile.Ingress.Limits) throws(ConfigurationError) {
        func positive(_ number: Int?, _ key: String) throws(ConfigurationError) -> Int? {
            guard let number, !(1...EgressBudgets.most).contains(number) else { return number }
            throw ConfigurationError("ingress.limits.\(key) is \(number); use 1 to 10^12, or leave it out")
        }
        gateway.traffic.clientRate = try positive(limits.client_rate, "client_rate")
        gateway.traffic.clientBurst = try positive(limits.client_burst, "client_burst") ?? gateway.traffic.clientBurst
        gateway.traffic.clientConnections = try positive(limits.client_connections, "client_connections")
        gateway.traffic.routeRate = try positive(limits.route_rate, "route_rate")
        gateway.traffic.routeBurst = try positive(limits.route_burst, "route_burst") ?? gateway.traffic.routeBurst
        gateway.traffic.sandboxConcurrency = try positive(limits.sandbox_concurrency, "sandbox_concurrency")
        gateway.maxBody = try positive(limits.max_body_bytes, "max_body_bytes")
    }

    private mutating func apply(_ tls: ConfigurationFile.Ingress.TLS) throws(ConfigurationError) {
        let files = (tls.certificates ?? []).map { CertificateFiles(certificate: $0.certificate, key: $0.key) }
        guard !files.isEmpty else {
            throw ConfigurationError("ingress.tls has no [[ingress.tls.certificates]] with certificate and key")
        }
        gateway.tls = TLSListener(
            host: tls.host ?? gateway.host,
            port: try Self.port(tls.port, "ingress.tls.port") ?? TLSListener.defaultPort,
            certificates: files)
    }

    private mutating func apply(_ access: ConfigurationFile.Ingress.SecureAccess) throws(ConfigurationError) {
        if let text = access.v1 {
            guard ["accept", "refuse"].contains(text) else {
                throw ConfigurationError("ingress.secure_access.v1 \"\(text)\" is unknown; use accept or refuse")
            }
            gateway.acceptsVersion1 = text == "accept"
        }
        if let number = access.sign {
            guard let version = RouteToken.Version(rawValue: number) else {
                throw ConfigurationError("ingress.secure_access.sign is \(number); use 2 or 1")
            }
            gateway.signs = version
        }
        guard gateway.signs == .two || gateway.acceptsVersion1 else {
            throw ConfigurationError(
                "ingress.secure_access: sign = 1 makes tokens that v1 = \"refuse\" does not accept")
        }
        guard access.keys != nil || access.active_key != nil else { return }
        guard let active = access.active_key, active.count == 1 else {
            throw ConfigurationError("ingress.secure_access.active_key: use one character of 0-9 and a-z")
        }
        let entries = (access.keys ?? []).map { "\($0.key_id)=base64:\($0.key)" }.joined(separator: ",")
        do {
            gateway.keys = try KeyRing.parse(entries, active: active.first)
        } catch {
            throw ConfigurationError("ingress.secure_access: \(error)")
        }
    }

    private mutating func apply(_ section: ConfigurationFile.Local) throws(ConfigurationError) {
        local.stateDirectory = section.state_dir ?? local.stateDirectory
        local.runDirectory = section.run_dir ?? local.runDirectory
        local.execd = section.execd ?? local.execd
        local.baseImage = section.base_image ?? local.baseImage
        local.insecureRegistries = Set(section.insecure_registries ?? Array(local.insecureRegistries))
        try apply(disk: section)
        local.addressPool =
            try Self.block(section.address_pool, "local.address_pool", isIPv4: true) ?? local.addressPool
        local.addressPoolV6 =
            try Self.block(section.address_pool_v6, "local.address_pool_v6", isIPv4: false) ?? local.addressPoolV6
        if let bytes = section.longest_output_line {
            guard (1024...4 << 20).contains(bytes) else {
                throw ConfigurationError("local.longest_output_line is \(bytes); use 1024 to 4194304 bytes")
            }
            local.longestOutputLine = bytes
        }
        if let names = section.reachable_by {
            local.reachableBy = names.contains("*") ? nil : try Set([0] + names.map(Self.user))
        }
        local.userNamespaces = try Self.userNamespaces(section) ?? local.userNamespaces
        if let tag = section.tag {
            guard (1...4).contains(tag.utf8.count), tag.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber) })
            else {
                throw ConfigurationError("local.tag \"\(tag)\": use 1 to 4 letters and digits")
            }
            local.tag = tag
        }
        if let registry = section.unqualified_registry, !registry.isEmpty {
            guard ImageReference.isRegistry(registry) else {
                throw ConfigurationError("local.unqualified_registry \"\(registry)\": write it as host or host:port")
            }
            local.unqualifiedRegistry = registry
        }
        if let name = section.oci_runtime {
            guard let runtime = Settings.OCIRuntime(rawValue: name) else {
                throw ConfigurationError("local.oci_runtime \"\(name)\": use crun or runc")
            }
            local.ociRuntime = runtime
        }
    }

    private mutating func apply(disk section: ConfigurationFile.Local) throws(ConfigurationError) {
        if let name = section.disk_limits {
            guard let known = DiskConfiguration.Enforcement(rawValue: name) else {
                throw ConfigurationError("local.disk_limits \"\(name)\" is unknown; use auto, quota, image or off")
            }
            local.disk.enforcement = known
        }
        let keys: [(String, String?, ClosedRange<Int64>, WritableKeyPath<DiskConfiguration, Int64>)] = [
            ("disk", section.disk, ResourceLimits.leastDisk...ResourceLimits.mostDisk, \.limit),
            ("disk_reserve", section.disk_reserve, 1...ResourceLimits.mostDisk, \.reserve),
            ("log_max_bytes", section.log_max_bytes, 65536...(1 << 30), \.log),
        ]
        for (key, text, range, path) in keys {
            guard let text else { continue }
            guard let bytes = ResourceQuantity.bytes(text), range.contains(bytes) else {
                throw ConfigurationError(
                    "local.\(key) \"\(text)\": write a quantity such as 10Gi, from \(range.lowerBound) to "
                        + "\(range.upperBound) bytes")
            }
            local.disk[keyPath: path] = bytes
        }
    }

    private static func user(_ name: String) throws(ConfigurationError) -> UInt32 {
        if let id = UInt32(name) { return id }
        guard let entry = getpwnam(name) else {
            throw ConfigurationError(
                "local.reachable_by: this machine has no user \"\(name)\"; use a name, an id or \"*\"")
        }
        return entry.pointee.pw_uid
    }

    private static func userNamespaces(
        _ section: ConfigurationFile.Local
    ) throws(ConfigurationError) -> UserNamespaceSettings? {
        let known = UserNamespaceSettings.default
        guard let mode = UserNamespaceSettings.Mode(rawValue: section.user_namespaces ?? known.mode.rawValue) else {
            throw ConfigurationError(
                "local.user_namespaces \"\(section.user_namespaces ?? "")\": use auto, required or off")
        }
        guard let first = UInt32(exactly: section.ids_base ?? Int(known.firstID)),
            let count = UInt32(exactly: section.ids_count ?? Int(known.idCount)),
            let settings = UserNamespaceSettings(mode: mode, firstID: first, idCount: count)
        else {
            throw ConfigurationError(
                "local.ids_base and local.ids_count: use a range of user ids above 0 and below 4294967295 that has room for "
                    + "one sandbox at least, 65536 of them")
        }
        return settings
    }

    private static func seconds(_ number: Int?, _ what: String) throws(ConfigurationError) -> Int? {
        guard let number, !(1...3600).contains(number) else { return number }
        throw ConfigurationError("ingress.\(what)_timeout_seconds is \(number); use 1 to 3600")
    }

    private mutating func apply(_ section: ConfigurationFile.OTel) throws(ConfigurationError) {
        telemetry.isEnabled = section.enabled ?? telemetry.isEnabled
        if let text = section.endpoint, !text.isEmpty {
            guard HTTPEndpoint(text) != nil else {
                throw ConfigurationError("otel.endpoint: use an http:// or https:// URL")
            }
            telemetry.endpoint = text
        }
        telemetry.service = section.service_name ?? telemetry.service
        if let interval = section.export_interval_millis {
            guard (1000...86_400_000).contains(interval) else {
                throw ConfigurationError("otel.export_interval_millis is \(interval); use 1000 to 86400000")
            }
            telemetry.interval = interval
        }
    }

    mutating func apply(_ section: ConfigurationFile.Egress.Budgets) throws(ConfigurationError) {
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

    private static func port(_ number: Int?, _ key: String) throws(ConfigurationError) -> Int? {
        guard let number, !(1...65535).contains(number) else { return number }
        throw ConfigurationError("\(key) is \(number); use 1 to 65535")
    }

    static func block(
        _ text: String?, _ key: String, isIPv4: Bool
    ) throws(ConfigurationError) -> CIDRBlock? {
        guard let text else { return nil }
        // The pool needs room for sandboxes and, for IPv6, as many host numbers as IPv4 has.
        guard let block = CIDRBlock(text), block.base.isIPv4 == isIPv4,
            isIPv4 ? (8...28).contains(block.prefixLength) : block.prefixLength <= 96
        else {
            throw ConfigurationError(
                "\(key) \"\(text)\": use an \(isIPv4 ? "IPv4 block of /8 to /28" : "IPv6 block of at most /96")")
        }
        return block
    }
}
