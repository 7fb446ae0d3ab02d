import JSON
import TOMLKit

/// The TOML file. Absent keys keep their defaults; unknown ones are errors.
struct ConfigurationFile: Decodable {
    struct Server: Decodable {
        var host: String?
        var port: Int?
        var api_key: String?
        var eip: String?
        var names: [String]?
        var allowed_origins: [String]?
        var max_sandbox_timeout_seconds: Int?
        var timeout_keep_alive: Int?
        var limit_concurrency: Int?
    }
    struct Log: Decodable {
        var level: String?
    }
    struct Runtime: Decodable {
        var type: String?
    }
    struct Ingress: Decodable {
        struct Gateway: Decodable {
            struct Route: Decodable {
                var mode: String?
            }
            var address: String?
            var route: Route?
        }
        struct SecureAccess: Decodable {
            struct Key: Decodable {
                var key_id: String
                var key: String
            }
            var active_key: String?
            var keys: [Key]?
            var v1: String?
            var sign: Int?
        }
        struct Directory: Decodable {
            var listen: String?
            var plaintext: Bool?
        }
        struct TLS: Decodable {
            struct Certificate: Decodable {
                var certificate: String
                var key: String
            }
            var host: String?
            var port: Int?
            var certificates: [Certificate]?
        }
        var mode: String?
        var host: String?
        var port: Int?
        var external: Bool?
        struct Limits: Decodable {
            var client_rate: Int?
            var client_burst: Int?
            var client_connections: Int?
            var route_rate: Int?
            var route_burst: Int?
            var sandbox_concurrency: Int?
            var max_body_bytes: Int?
        }
        var directory: Directory?
        var limits: Limits?
        var identity_header: Bool?
        var reach_loopback: Bool?
        var cookies: Bool?
        var trusted_proxies: [String]?
        var conceal_unknown: Bool?
        var head_timeout_seconds: Int?
        var body_timeout_seconds: Int?
        var tls: TLS?
        var gateway: Gateway?
        var secure_access: SecureAccess?
    }
    struct Local: Decodable {
        var state_dir: String?
        var run_dir: String?
        var execd: String?
        var address_pool: String?
        var address_pool_v6: String?
        var tag: String?
        var base_image: String?
        var disk: String?
        var disk_limits: String?
        var disk_reserve: String?
        var log_max_bytes: String?
        var insecure_registries: [String]?
        var longest_output_line: Int?
        var user_namespaces: String?
        var ids_base: Int?
        var ids_count: Int?
        var reachable_by: [String]?
        var unqualified_registry: String?
        var oci_runtime: String?
    }
    struct Egress: Decodable {
        var upstreams: [String]?
        var internal_zones: [String]?
        var internal_ranges: [String]?
        var upstream_timeout_seconds: Int?
        var upstream_probe: String?
        var upstream_probe_interval_seconds: Int?
        var tls_ca_file: String?
        var randomize_case: Bool?
        var refusal: String?
        var external: Bool?
        var presets: String?
        var budgets: Budgets?
        var block_dot: Bool?
        var block_doh: [String]?
        var audit_log: String?
        var audit_log_max_bytes: Int?
        var deny_webhook: String?
        var metrics_listen: String?

        struct Budgets: Decodable {
            var queries_per_second: Int?
            var distinct_names_per_hour: Int?
            var wildcard_bytes_per_minute: Int?
            var wildcard_burst_bytes: Int?
            var connections_per_second: Int?
            var connections: Int?
            var bytes_out: Int?
        }
        var mode: String?
        var unchecked_ports: [Int]?
    }
    struct Store: Decodable {
        var type: String?
        var path: String?
    }

    struct OTel: Decodable {
        var enabled: Bool?
        var endpoint: String?
        var service_name: String?
        var export_interval_millis: Int?
    }

    struct RenewIntent: Decodable {
        struct Redis: Decodable {
            var enabled: Bool?
            var dsn: String?
            var queue_key: String?
            var consumer_concurrency: Int?
            var queue_max_len: Int?
        }
        var redis: Redis?
        var enabled: Bool?
        var min_interval_seconds: Int?
    }

    var server: Server?
    var log: Log?
    var runtime: Runtime?
    var ingress: Ingress?
    var local: Local?
    var egress: Egress?
    var store: Store?
    var renew_intent: RenewIntent?
    var otel: OTel?

    /// - Throws: `ConfigurationError` with the line of a syntax error, or the key with a wrong type.
    static func parse(_ text: String, path: String) throws(ConfigurationError) -> ConfigurationFile {
        do {
            return try JSONValue(TOMLTable(string: text), at: "the file").decode(unknown: .refused)
        } catch let error as TOMLParseError {
            throw ConfigurationError("\(path), line \(error.source.begin.line): \(error.description)")
        } catch {
            throw ConfigurationError("\(path): \(error)")
        }
    }
}

extension JSONValue {
    /// Converts a TOML value to a JSON tree, so that settings and requests are decoded in the same way.
    /// - Throws: for a date or a time. No setting has that type, so it must be a text without quotes.
    fileprivate init(_ value: some TOMLValueConvertible, at key: String) throws(ConfigurationError) {
        if let table = value.table {
            var object = JSONObject()
            for (name, value) in table { object.set(name, try JSONValue(value, at: name)) }
            self = .object(object)
        } else if let array = value.array {
            var items: [JSONValue] = []
            for item in array { items.append(try JSONValue(item, at: key)) }
            self = .array(items)
        } else if let text = value.string {
            self = .string(text)
        } else if let number = value.int {
            self = .integer(number)
        } else if let number = value.double {
            self = .number(number)
        } else if let flag = value.bool {
            self = .boolean(flag)
        } else {
            throw ConfigurationError("\(key) is a date or a time, which no setting is; put a text into quotes")
        }
    }
}
