/// Several users of one server, in a file as the reference has it.
extension Settings {
    /// The contract's variable for the file; it goes before `tenants.path`.
    static let tenantsVariable = "SANDBOX_TENANTS_CONFIG_PATH"

    static let tenantsSection = SettingSection(
        "tenants", "Tenants with keys of their own, and sandboxes of their own (docs/server.md#tenants).",
        [
            SettingKey(
                "provider", "\"file\": no other is in this version", example: "\"file\"", "absent: there are no tenants"
            ),
            SettingKey(
                "path", "an absolute path", example: "\"/etc/sallyport/tenants.toml\"",
                "absent: \(tenantsVariable), else ~/.opensandbox/tenants.toml"),
        ]
    ) { (values, settings) throws(ConfigurationError) in
        guard let provider = values["provider"] else {
            guard values.isEmpty else {
                throw ConfigurationError("\(values.path("provider")) is missing; write provider = \"file\"")
            }
            return
        }
        guard try provider.text() == "file" else { throw provider.wrong() }
        var path = ""
        if let value = values["path"], let text = try value.textOrNothing() {
            guard text.hasPrefix("/") else { throw value.wrong() }
            path = text
        }
        settings.tenants = path
    }

    /// Finds the file, once the environment's API key is in its place.
    mutating func resolveTenants(_ environment: [String: String]) throws(ConfigurationError) {
        guard let path = tenants else { return }
        if let named = environment[Self.tenantsVariable], !named.isEmpty {
            tenants = named
        } else if path.isEmpty {
            tenants = (environment["HOME"] ?? "/root") + "/.opensandbox/tenants.toml"
        }
        guard server.apiKey != "" else {
            throw ConfigurationError(
                "tenants have keys, and server.api_key is empty, which lets everybody do everything: leave api_key out")
        }
    }
}
