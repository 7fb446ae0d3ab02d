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

extension Settings {
    /// Reads `path`, else the file in `SANDBOX_CONFIG_PATH`, else `~/.sandbox.toml` if it exists, then the
    /// environment's overrides (docs/server.md#configuration).
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

    /// Environment variables of these programs. The sidecar has its own.
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
        for name in server.names where name.isEmpty || name.contains(where: { $0 == "/" || $0.isWhitespace }) {
            throw ConfigurationError("server.names: \"\(name)\" is not a host name; write a.example, or \"*\" for any")
        }
        server.allowedOrigins = section.allowed_origins ?? server.allowedOrigins
        for origin in server.allowedOrigins where origin != CallerRules.anyOrigin && !CallerRules.isOrigin(origin) {
            throw ConfigurationError(
                "server.allowed_origins: \"\(origin)\" is not an origin; write https://host or http://host:port, without a path"
            )
        }
        if let longest = section.max_sandbox_timeout_seconds {
            guard (CreateRequest.shortestTimeout...RequestLimits.maxLife).contains(longest) else {
                throw ConfigurationError(
                    "server.max_sandbox_timeout_seconds is \(longest); use 60 to \(RequestLimits.maxLife) (10 years)"
                )
            }
            server.maxSandboxTimeout = longest
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
            server.maxConnections = connections == 0 ? .max : connections
        }
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

    static func port(_ number: Int?, _ key: String) throws(ConfigurationError) -> Int? {
        guard let number, !(1...65535).contains(number) else { return number }
        throw ConfigurationError("\(key) is \(number); use 1 to 65535")
    }
}
