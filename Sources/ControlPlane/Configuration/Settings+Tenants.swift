import HTTPClient

/// Several users of one server: in a file, or known to another server, as the reference has both.
extension Settings {
    /// The contract's variable for the file; it goes before `tenants.path`.
    static let tenantsVariable = "SANDBOX_TENANTS_CONFIG_PATH"

    static let tenantsSection = SettingSection(
        "tenants", "Tenants with keys of their own, and sandboxes of their own (docs/server.md#tenants).",
        [
            SettingKey(
                "provider", "\"file\" or \"http\"", example: "\"file\"",
                "a file, or a server that is asked; absent: there are no tenants"),
            SettingKey(
                "path", "an absolute path", example: "\"/etc/sallyport/tenants.toml\"",
                "the file of tenants; absent: \(tenantsVariable), else ~/.opensandbox/tenants.toml"),
            SettingKey(
                "endpoint", "an http:// or https:// URL without a password",
                example: "\"https://tenants.example/of-key\"", "the server that is asked which tenant a key belongs to",
                isSecret: true
            ),
            SettingKey(
                "max_stale_seconds", "0 to 86400", example: "300",
                "seconds that an answer is used beyond its time while the server gives no other; absent: 300"),
            SettingKey("timeout_seconds", "0.1 to 60", example: "5", "seconds that it may take to answer; absent: 5"),
            SettingKey(
                "auth_header", "the name of an HTTP header", example: "\"Authorization\"",
                "a header by which it knows this server"),
            SettingKey("auth_token", "a string", example: "\"Bearer …\"", "the value of that header", isSecret: true),
        ]
    ) { (values, settings) throws(ConfigurationError) in
        guard let provider = values["provider"] else {
            guard values.isEmpty else {
                throw ConfigurationError(
                    "\(values.path("provider")) is missing; write provider = \"file\" or provider = \"http\"")
            }
            return
        }
        func leaveOut(_ names: [String]) throws(ConfigurationError) {
            for name in names {
                guard let value = values[name] else { continue }
                throw ConfigurationError("\(value.path) is not for provider = \"\(try provider.text())\": leave it out")
            }
        }
        switch try provider.text() {
        case "file":
            try leaveOut(["endpoint", "max_stale_seconds", "timeout_seconds", "auth_header", "auth_token"])
            var path = ""
            if let value = values["path"], let text = try value.textOrNothing() {
                guard text.hasPrefix("/") else { throw value.wrong() }
                path = text
            }
            settings.tenants = path
        case "http":
            try leaveOut(["path"])
            settings.tenantProvider = try tenantProvider(values)
        default: throw provider.wrong()
        }
    }

    private static func tenantProvider(
        _ values: SettingValues
    ) throws(ConfigurationError) -> TenantProvider.Settings {
        guard let value = values["endpoint"] else {
            throw ConfigurationError("\(values.path("endpoint")) is missing: write the URL that is asked for tenants")
        }
        guard let endpoint = HTTPEndpoint(try value.text()) else { throw value.wrong() }
        var provider = TenantProvider.Settings(endpoint: endpoint)
        if let value = values["max_stale_seconds"] { provider.maxStale = Int(try value.number(in: 0...86_400)) }
        if let value = values["timeout_seconds"] { provider.timeout = UInt64(try value.number(in: 0.1...60) * 1000) }
        let (header, token) = (values["auth_header"], values["auth_token"])
        provider.header = try header?.textOrNothing()
        provider.token = try token?.textOrNothing()
        guard (provider.header == nil) == (provider.token == nil) else {
            throw ConfigurationError(
                "\(values.path("auth_header")) and auth_token belong together: write both, or leave both out")
        }
        if let header, let name = provider.header {
            let isField = name.utf8.allSatisfy {
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0 | 0x20)
                    || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == UInt8(ascii: "-")
            }
            guard isField, name.lowercased() != "open-sandbox-api-key" else { throw header.wrong() }
        }
        if let token, let text = provider.token {
            guard text.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) else { throw token.wrong() }
        }
        return provider
    }

    /// Finds the file, once the environment's API key is in its place.
    mutating func resolveTenants(_ environment: [String: String]) throws(ConfigurationError) {
        guard tenants != nil || tenantProvider != nil else { return }
        if let path = tenants {
            if let named = environment[Self.tenantsVariable], !named.isEmpty {
                tenants = named
            } else if path.isEmpty {
                tenants = (environment["HOME"] ?? "/root") + "/.opensandbox/tenants.toml"
            }
        }
        guard server.apiKey != "" else {
            throw ConfigurationError(
                "tenants have keys, and server.api_key is empty, which lets everybody do everything: leave api_key out")
        }
    }
}
