import FoundationEssentials
import JSON
import SecureAccess
import Spelling

extension Settings {
    /// Reads `path`, else the file in `SANDBOX_CONFIG_PATH`, else `~/.sandbox.toml` if it exists, then the
    /// environment's overrides (docs/configuration.md).
    package static func load(
        path: String?, environment: [String: String]
    ) throws(ConfigurationError) -> Settings {
        var settings = Settings()
        if let (tree, path) = try tree(path: path, environment: environment) {
            try settings.apply(tree, path: path)
            settings.file = path
        }
        try settings.apply(environment: environment)
        return settings
    }

    /// The configuration as it is written, and the path of its file; nil where there is none.
    package static func tree(
        path: String?, environment: [String: String]
    ) throws(ConfigurationError) -> (tree: JSONValue, path: String)? {
        let home = (environment["HOME"] ?? "/root") + "/.sandbox.toml"
        let named = path ?? environment["SANDBOX_CONFIG_PATH"].flatMap { $0.isEmpty ? nil : $0 }
        guard named != nil || FileManager.default.fileExists(atPath: home) else { return nil }
        let file = named ?? home
        guard let data = FileManager.default.contents(atPath: file) else {
            throw ConfigurationError("the configuration \(file) cannot be read; `sallyport init-config` writes one")
        }
        return (try JSONValue(toml: String(decoding: data, as: UTF8.self), path: file), file)
    }

    /// Applies a TOML text. `path` is for messages.
    mutating func apply(text: String, path: String) throws(ConfigurationError) {
        try apply(JSONValue(toml: text, path: path), path: path)
    }

    mutating func apply(_ tree: JSONValue, path: String) throws(ConfigurationError) {
        do { try apply(tree) } catch { throw ConfigurationError("\(path): \(error)") }
    }

    /// Environment variables of these programs. The sidecar has its own.
    static let variables =
        [
            "OPENSANDBOX_SERVER_API_KEY", "OPENSANDBOX_SECURE_ACCESS_KEYS", "OPENSANDBOX_SECURE_ACCESS_ACTIVE_KEY",
            "OPENSANDBOX_INSECURE_SERVER", failureTTL,
        ] + Docker.variables
    /// The contract's variable for `server.pending_failure_ttl_seconds`.
    private static let failureTTL = "PENDING_FAILURE_TTL"

    mutating func apply(environment: [String: String]) throws(ConfigurationError) {
        if let problem = Variables.problem(in: environment, known: Self.variables, foreign: "OPENSANDBOX_EGRESS_") {
            throw ConfigurationError("\(problem.variable): \(problem.reason)")
        }
        engineVariables = environment.filter { Docker.variables.contains($0.key) }
        if let key = environment["OPENSANDBOX_SERVER_API_KEY"] { server.apiKey = key }
        if let text = environment[Self.failureTTL], !text.isEmpty {
            guard let seconds = Int(text), (1...RequestLimits.maxLife).contains(seconds) else {
                throw ConfigurationError("\(Self.failureTTL): use seconds, from 1 to \(RequestLimits.maxLife)")
            }
            server.failuresKept = seconds
        }
        try resolveTenants(environment)
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

    /// What says that new sandboxes share this machine's network; nil where they have one of their own.
    package var sharedNetwork: String? {
        switch runtime {
        case .local: local.network == .host ? "local.network_mode = \"host\"" : nil
        case .docker: docker.network == Docker.machineNetwork ? "docker.network_mode = \"host\"" : nil
        }
    }

    /// An empty key opens the API to everybody who can reach it. Unless somebody is at a terminal, that must be
    /// confirmed explicitly.
    package func requireKey(isInteractive: Bool, environment: [String: String]) throws(ConfigurationError) {
        if let shared = sharedNetwork, server.apiKey?.isEmpty == true {
            throw ConfigurationError(
                "\(shared) needs an API key, since every sandbox reaches the API: set server.api_key, or leave it out to have one "
                    + "generated")
        }
        guard server.apiKey?.isEmpty == true, !isInteractive, environment["OPENSANDBOX_INSECURE_SERVER"] != "YES" else {
            return
        }
        throw ConfigurationError(
            "the API key is empty: set server.api_key or OPENSANDBOX_SERVER_API_KEY, leave both out to have one generated, "
                + "or accept an open server with OPENSANDBOX_INSECURE_SERVER=YES")
    }
}
