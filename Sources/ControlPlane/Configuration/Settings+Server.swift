import HTTPClient
import Ingress
import JSON
import Redis

/// The server itself, and what is around it.
extension Settings {
    private static let seconds = 1...86_400

    static let serverSection = SettingSection(
        "server", "The lifecycle API.",
        [
            .text("host", "an address of this machine", \.server.host, "0.0.0.0 opens the API to the network"),
            .integer("port", 1...65535, \.server.port, "where the API listens"),
            SettingKey(
                "api_key", "a string", example: "\"\"",
                "absent: one is generated and kept; \"\" asks for no key (docs/server.md)", isSecret: true
            ) { (value, settings) throws(ConfigurationError) in settings.server.apiKey = try value.text() }.live,
            .optionalText(
                "eip", "a host name or address", \.server.publicHost,
                "the host by which clients reach this server, for proxied endpoints"
            ).live,
            SettingKey(
                "names", "host names such as a.example, or \"*\" for any", default: "[]",
                "further names by which clients reach this server"
            ) { (value, settings) throws(ConfigurationError) in
                settings.server.names = try value.list { name in
                    name.isEmpty || name.contains { $0 == "/" || $0.isWhitespace } || HostNames.name(of: name) == nil
                        ? nil : name
                }
            }.live,
            SettingKey(
                "allowed_origins", "https://host or http://host:port with nothing after it, or \"*\" for any",
                default: "[]", "pages that may call it: [\"https://console.example\"]"
            ) { (value, settings) throws(ConfigurationError) in
                settings.server.allowedOrigins = try value.list {
                    $0 == CallerRules.anyOrigin || CallerRules.isOrigin($0) ? $0 : nil
                }
            }.live,
            .integer(
                "max_sandbox_timeout_seconds", CreateRequest.shortestTimeout...RequestLimits.maxLife,
                \.server.maxSandboxTimeout, "how far away the end of a sandbox may be, made or renewed"
            ).live,
            .integer("timeout_keep_alive", seconds, \.server.idleTimeout, "seconds that a connection may stay unused"),
            .integer(
                "min_body_rate", 1...1 << 20, \.server.bodyRate,
                "bytes a second that a request's body has to come with, over 20 seconds"),
            .integer(
                "stall_timeout_seconds", seconds, \.server.stallTimeout,
                "how long a client may leave an answer unread before it is cut off"),
            SettingKey(
                "limit_concurrency", "0 for any number, or more", default: "\(Settings().server.maxConnections)",
                "connections to the API at one time; 0: any number"
            ) { (value, settings) throws(ConfigurationError) in
                let number = try value.integer(in: 0 ... .max)
                settings.server.maxConnections = number == 0 ? .max : number
            },
            .integer(
                "concurrent_creates", 1...10_000, \.server.creates.running, "sandboxes that are being made at one time"
            ).live,
            .integer(
                "queued_creates", 0...100_000, \.server.creates.waiting,
                "creates that wait for those; beyond them a create is 429"
            ).live,
            .integer(
                "pending_failure_ttl_seconds", 1...RequestLimits.maxLife, \.server.failuresKept,
                "how long a sandbox that could not be made stays, after its create was answered"),
            .optionalText(
                "audit_log", "a path", \.server.auditLog, example: "/var/log/sallyport/requests.log",
                "who did what, a line of JSON each; absent: nowhere"),
            .integer(
                "audit_log_max_bytes", 0 ... .max, \.server.auditLogLimit, "bytes after which it is rotated; 0: never",
                advice: "0 for never, or more"),
            SettingKey.choice(
                "access_log", \.server.accessLog,
                "requests that get a line in the log: none, those that failed, or each (docs/observability.md)"
            ).live,
            .flag("docs", \.server.docs, "false: no /docs, /redoc and /openapi.json, which need no key"),
            .optionalText(
                "docs_dir", "a folder", \.server.pages,
                "the folder of their files; absent: the one that was installed with the program"),
        ])

    static let runtimeSection = SettingSection(
        "runtime", "What runs sandboxes.",
        [
            .choice("type", \.runtime, "local: crun or runc on this machine; docker: containers of an engine on it")
        ])

    static let storeSection = SettingSection(
        "store", "Where sandboxes are remembered.",
        [
            SettingKey(
                "type", "\"sqlite\": no other is in this version", default: "\"sqlite\"", "the kind of the store"
            ) {
                (value, _) throws(ConfigurationError) in
                guard try value.text() == "sqlite" else { throw value.wrong() }
            },
            SettingKey(
                "path", "a path", example: "\"/var/lib/sallyport/sallyport.db\"",
                "the file of the database; absent: in local.state_dir"
            ) {
                (value, settings) throws(ConfigurationError) in
                let path = try value.text()
                // The reference's files have such paths, and its database is none of this server's.
                guard !path.hasPrefix("~") else { throw value.wrong("a whole path, without ~, or leave it out") }
                settings.storePath = path
            },
        ])

    static let telemetrySection = SettingSection(
        "otel", "Export of metrics (OTLP over HTTP, JSON).",
        [
            .flag("enabled", \.telemetry.isEnabled, "true: metrics go to a collector"),
            SettingKey(
                "endpoint", "an http:// or https:// URL", example: "\"\"",
                "http://collector:4318; absent: OTEL_EXPORTER_OTLP_ENDPOINT"
            ) { (value, settings) throws(ConfigurationError) in
                guard let text = try value.textOrNothing() else { return }
                guard HTTPEndpoint(text) != nil else { throw value.wrong() }
                settings.telemetry.endpoint = text
            },
            .text("service_name", "a string", \.telemetry.service, "service.name of the metrics"),
            .integer(
                "export_interval_millis", 1000...86_400_000, \.telemetry.interval, "milliseconds between two exports"),
            .flag("traces", \.telemetry.traces, "true: spans of requests go to the collector, too"),
            SettingKey(
                "traces_ratio", "a number from 0 to 1", default: "1.0",
                "the part of the traces that begin here which is recorded"
            ) { (value, settings) throws(ConfigurationError) in
                settings.telemetry.tracesRatio = try value.ratio()
            },
            .flag(
                "traces_follow_parent", \.telemetry.tracesFollowParent,
                "whether a client that traces decides for its requests"),
        ])

    static let renewalSection = SettingSection(
        "renew_intent", "Access prolongs sandboxes made with access.renew.extend.seconds.",
        [
            .flag("enabled", \.renewal.isEnabled, "true: they are prolonged"),
            .integer(
                "min_interval_seconds", seconds, \.renewal.interval, "seconds between two renewals of one sandbox"),
        ])

    static let redisSection = SettingSection(
        "renew_intent.redis", "How gateways in other processes say which sandboxes are used.",
        [
            SettingKey("enabled", "true or false", default: "false", "true: they say it through Redis"),
            SettingKey(
                "dsn", "redis://user:password@host:port/database, or rediss:// for TLS",
                example: "\"redis://127.0.0.1:6379/0\"",
                "where Redis is", isSecret: true),
            SettingKey(
                "queue_key", "a string that is not empty", default: "\"\(RenewIntent.defaultQueue)\"", "the list's name"
            ),
            SettingKey("consumer_concurrency", "1 to 64", default: "8", "connections that wait for something to come"),
            SettingKey(
                "queue_max_len", "0 for any number, or more", default: "0",
                "how many entries `sallyport ingress` lets the list hold; 0: any number"),
        ]
    ) { (values, settings) throws(ConfigurationError) in
        guard try values["enabled"]?.flag() == true else { return }
        guard let dsn = values["dsn"] else {
            throw ConfigurationError("\(values.path("dsn")) is missing; write redis://127.0.0.1:6379/0")
        }
        var redis: Renewal.Redis
        let text = try dsn.text()
        do { redis = Renewal.Redis(address: try RedisAddress(text)) } catch {
            throw ConfigurationError("\(dsn.path): \(error)")
        }
        if let queue = values["queue_key"] {
            guard let text = try queue.textOrNothing() else { throw queue.wrong() }
            redis.queue = text
        }
        redis.workers = try values["consumer_concurrency"]?.integer(in: 1...64) ?? redis.workers
        redis.queueLimit = try values["queue_max_len"]?.integer(in: 0 ... .max) ?? redis.queueLimit
        settings.renewal.redis = redis
    }
}
