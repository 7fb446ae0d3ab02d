import Egress
import NetworkPolicy

/// One entry of the list of resolvers.
private enum BlockedResolver {
    /// All that the presets know.
    case known
    case target(Target)
}

extension SidecarConfiguration {
    /// The reference's settings for other resolvers: port 853 is closed, and port 443 if asked for.
    mutating func readResolverBlock(
        _ values: SidecarVariables, _ known: () throws(EgressError) -> KnownResolvers
    ) throws(SidecarConfigurationError) {
        resolverBlock.overTLS = try values.flag("BLOCK_DOT") ?? true
        let blocks = try values.flag("BLOCK_DOH_443")
        let advice = "use addresses, blocks, names, or known"
        let listed = try values.list("DOH_BLOCKLIST", advice) { text -> BlockedResolver? in
            text == "known" ? .known : (try? Target(text)).map { .target($0) }
        }
        if let listed {
            var targets: [Target] = []
            for entry in listed {
                switch entry {
                case .target(let target): targets.append(target)
                case .known:
                    do throws(EgressError) { targets += try known().targets } catch {
                        throw values.wrong("DOH_BLOCKLIST", "\(error)")
                    }
                }
            }
            guard !targets.isEmpty else { throw values.wrong("DOH_BLOCKLIST", advice) }
            // A list without the switch counts as well; the reference ignores it.
            if blocks ?? true { resolverBlock.overHTTPS = .targets(targets) }
        } else if blocks == true {
            resolverBlock.overHTTPS = .everything
        }
    }

    mutating func readBudgets(_ values: SidecarVariables) throws(SidecarConfigurationError) {
        let names: [(String, WritableKeyPath<EgressBudgets, Int>)] = [
            ("QUERIES_PER_SECOND", \.queriesPerSecond), ("DISTINCT_NAMES_PER_HOUR", \.distinctNamesPerHour),
            ("WILDCARD_BYTES_PER_MINUTE", \.wildcardBytesPerMinute), ("WILDCARD_BURST_BYTES", \.wildcardBurst),
            ("CONNECTIONS_PER_SECOND", \.connectionsPerSecond), ("CONNECTIONS", \.connections),
            ("BYTES_OUT", \.bytesOut),
        ]
        for (name, path) in names {
            let number = try values.read(
                "BUDGET_" + name, "use 0 for no limit, or a number up to \(EgressBudgets.most)"
            ) {
                Self.number($0).flatMap { $0 <= EgressBudgets.most ? $0 : nil }
            }
            budgets[keyPath: path] = number ?? budgets[keyPath: path]
        }
        sharesConnections = values["BUDGET_CONNECTIONS"] == nil
    }
}

extension SidecarVariables {
    /// As the reference reads them: 1, true, yes or on.
    func flag(_ name: String) throws(SidecarConfigurationError) -> Bool? {
        try read(name, "use true or false") { text in
            switch text.lowercased() {
            case "1", "true", "yes", "y", "on": true
            case "0", "false", "no", "n", "off": false
            default: nil
            }
        }
    }
}
