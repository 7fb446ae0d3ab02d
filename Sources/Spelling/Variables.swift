/// Environment variables with the prefix that all OpenSandbox programs share.
///
/// Nobody else notices a misspelt one: `OPENSANDBOX_EGRESS_TOKENN` would silently leave a policy API open.
package enum Variables {
    package static let prefix = "OPENSANDBOX_"

    /// Variables of other OpenSandbox programs and of clients, since one environment may serve several.
    private static let ofOthers = [
        "OPENSANDBOX_SERVER_API_KEY", "OPENSANDBOX_INSECURE_SERVER", "OPENSANDBOX_SECURE_ACCESS_KEYS",
        "OPENSANDBOX_SECURE_ACCESS_ACTIVE_KEY", "OPENSANDBOX_DISABLE_METRICS", "OPENSANDBOX_ID",
        "OPENSANDBOX_LIFECYCLE",
        "OPENSANDBOX_EXECD_METRICS_EXTRA_ATTRS", "OPENSANDBOX_CREDENTIAL_PROXY_SOCKET",
    ]

    /// Describes the first variable, by name, that no program reads; nil if there is none.
    /// - Parameters:
    ///   - known: the variables that the program reads.
    ///   - foreign: the prefix of another program's variables, whose names this one does not know.
    package static func problem(
        in environment: [String: String], known: some Collection<String>, foreign: String? = nil
    ) -> (variable: String, reason: String)? {
        let names = environment.keys.filter { name in
            name.hasPrefix(prefix) && !known.contains(name) && !ofOthers.contains(name)
                && !(foreign.map { name.hasPrefix($0) } ?? false) && !isOfService(name, environment[name] ?? "")
        }
        guard let name = names.min() else { return nil }
        let nearest = SimilarName.nearest(to: name, among: Array(known) + ofOthers)
        return (
            String(name.prefix(128)), "no such setting is known" + (nearest.map { "; did you mean \($0)?" } ?? "")
        )
    }

    /// Whether Kubernetes or Docker has set the variable for a service called `opensandbox-…`; those are not settings.
    /// `OPENSANDBOX_SERVER_SERVICE_HOST`, `…_SERVICE_PORT_HTTP`, `…_PORT` (`tcp://…`), `…_PORT_8080_TCP_ADDR`.
    private static func isOfService(_ name: String, _ value: String) -> Bool {
        let words = name.split(separator: "_").map(String.init)
        if words.suffix(2) == ["SERVICE", "HOST"] { return true }
        if words.last == "PORT", value.drop(while: { $0 != ":" }).hasPrefix("://") { return true }
        return words.indices.dropLast(1).contains { place in
            let rest = words[place...]
            return rest.starts(with: ["SERVICE", "PORT"]) && UInt16(value) != nil
                || rest.count >= 3 && rest[place] == "PORT" && UInt16(rest[place + 1]) != nil
                    && ["TCP", "UDP", "SCTP"].contains(rest[place + 2])
        }
    }
}
