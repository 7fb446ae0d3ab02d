/// All keys, in the order of the starter file and of docs/configuration.md.
extension Settings {
    static let sections: [SettingSection] = [
        serverSection, serverTLSSection, tenantsSection, logSection, runtimeSection, localSection, portsSection,
        secureRuntimeSection, dockerSection, storageSection, ingressSection,
        limitsSection,
        directorySection, gatewaySection, routeSection, secureAccessSection, gatewayTLSSection, egressSection,
        budgetsSection, telemetrySection, renewalSection, redisSection, storeSection,
    ]

    /// The key at a path of names; nil for a table, for what is in a list of tables, and for what nobody knows.
    static func key(at path: [String]) -> SettingKey? {
        let section = path.dropLast().joined(separator: ".")
        return sections.first { $0.path == section }?.keys.first { $0.name == path.last }
    }

    /// The output of `sallyport init-config`: every key with its default, or an example if it has none.
    package static let starterFile: String = {
        var lines = [
            "# Sallyport. Everything here is optional; what is commented out shows the default, or an example.", "",
        ]
        for section in sections {
            lines += ["# \(section.summary)", "[\(section.path)]"]
            lines += section.keys.map { line("# \($0.name) = \($0.shown)", $0.summary) }
            for list in section.lists {
                lines.append(line("# [[\(section.path).\(list.name)]]", list.summary))
                lines += list.keys.map { line("# \($0.name) = \"\($0.example)\"", $0.summary) }
            }
            lines.append("")
        }
        return lines.joined(separator: "\n")
    }()

    /// The comment follows the key on the same line if there is room.
    private static func line(_ text: String, _ comment: String) -> String {
        let column = 34
        return text + String(repeating: " ", count: max(2, column - text.count)) + "# " + comment
    }

    /// The page docs/configuration.md, or only its sections and keys that begin with `prefix`.
    package static func page(prefix: String = "") -> String {
        var lines = prefix.isEmpty ? [introduction] : []
        for section in sections {
            let keys = section.keys.filter { "\(section.path).\($0.name)".hasPrefix(prefix) }
            let lists = section.lists.filter { "\(section.path).\($0.name)".hasPrefix(prefix) }
            guard !keys.isEmpty || !lists.isEmpty else { continue }
            lines += ["## `[\(section.path)]`", "", section.summary, ""]
            if !keys.isEmpty { lines += ["| key | use | default | |", "|---|---|---|---|"] }
            for key in keys {
                lines.append(
                    "| `\(key.name)`\(key.isLive ? " ↻" : "") | \(cell(key.values)) | \(key.hasDefault ? "`\(key.shown)`" : "") | \(cell(key.summary)) |"
                )
            }
            for list in lists {
                lines += [
                    "",
                    "`[[\(section.path).\(list.name)]]`, as many as wanted: \(list.summary). "
                        + list.keys.map { "`\($0.name)`: \($0.summary)" }.joined(separator: "; ") + ".",
                ]
            }
            lines.append("")
        }
        return lines.joined(separator: "\n")
    }

    private static func cell(_ text: String) -> String {
        text.replacing("|", with: "\\|").replacing("<", with: "&lt;")
    }

    private static let introduction = """
        # Configuration

        `sallyport init-config` writes a commented file to start from, and `sallyport settings egress` prints what there is of one
        section. The file is the one that `--config` names, else the one of `SANDBOX_CONFIG_PATH`, else `~/.sandbox.toml`. Every key
        is optional, and one that is not known is refused. What has ↻ changes in a server that runs when it gets SIGHUP
        (docs/server.md#reload).
        What follows is made from the table that the server reads its file by (docs/adding-a-setting.md).

        `OPENSANDBOX_SERVER_API_KEY` goes before `server.api_key`; `OPENSANDBOX_SECURE_ACCESS_KEYS` with
        `OPENSANDBOX_SECURE_ACCESS_ACTIVE_KEY` goes before `[ingress.secure_access]`.

        """
}
