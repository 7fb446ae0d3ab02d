import JSON

/// Keys of the reference's configuration that this server does not have, each with what to do instead: who brings a file of the
/// reference's is told of all of them at the start, and nothing of it is passed over.
enum ReferenceSettings {
    /// - Throws: for a file with any of these keys.
    static func refuse(in file: JSONObject) throws(ConfigurationError) {
        let found = paths(in: file, at: "").sorted().compactMap { path in advice(for: path).map { (path, $0) } }
        guard let (path, advice) = found.first else { return }
        guard found.count > 1 else {
            throw ConfigurationError(
                "\(path) is a setting of OpenSandbox's server that this one does not have; \(advice)")
        }
        var lines: [(paths: [String], advice: String)] = []
        for (path, advice) in found {
            if lines.last?.advice == advice {
                lines[lines.count - 1].paths.append(path)
            } else {
                lines.append(([path], advice))
            }
        }
        throw ConfigurationError(
            "it has settings of OpenSandbox's server that this one does not have"
                + lines.map { "\n  \($0.paths.joined(separator: ", ")): \($0.advice)" }.joined())
    }

    /// The keys in a table that are none of this server's, and tables with nothing in them.
    private static func paths(in table: JSONObject, at path: String) -> [String] {
        table.members.flatMap { member -> [String] in
            let names = path.isEmpty ? [member.name] : path.split(separator: ".").map(String.init) + [member.name]
            let path = names.joined(separator: ".")
            guard Settings.key(at: names) == nil else { return [] }
            guard case .object(let below) = member.value, !below.members.isEmpty || isOurs(path) else { return [path] }
            return paths(in: below, at: path)
        }
    }

    /// Whether a table is one of this server's, or has some below it.
    private static func isOurs(_ table: String) -> Bool {
        Settings.sections.contains { ($0.path + ".").hasPrefix(table + ".") }
    }

    /// What is said of a key or a table, or of a name in one that is a key's value; nil if the reference has none of that name.
    static func advice(for path: String) -> String? {
        keys.first { path == $0.key || path.hasPrefix($0.key + ".") }?.value
            ?? tables.first { (path + ".").hasPrefix($0.prefix) }?.advice
    }

    private static let image = "leave it out: execd is a file of this server's, local.execd"
    private static let published =
        "use [local.ports]: first and last of the range, who may connect, and always = [44772, 8080]; without it the gateway "
        + "reaches all ports"

    private static let secure =
        "leave it out: secure_runtime.type and secure_runtime.path say what sandboxes run under"

    private static let keys: [String: String] = [
        "server.timeout_graceful_shutdown":
            "leave it out: an answer in progress gets the time that it needs, and sandboxes stay",
        "server.backlog":
            "leave it out: limit_concurrency bounds connections, and the kernel's net.core.somaxconn the queue",
        "server.thread_pool_size": "leave it out: no request here holds a thread",
        "server.loop": "leave it out: there is one event loop", "server.http": "leave it out: there is one parser",
        "proxy.resolve_internal": "leave it out: the server proxy dials a sandbox where it is",
        "log.access_file_path":
            "use server.audit_log: who did what, a line of JSON for each request that changes something",
        "runtime.execd_image": image,
        "runtime.execd_run_as_init": "leave it out: execd is always a sandbox's first process",
        "docker.port_range_min": published, "docker.port_range_max": published, "docker.publish_host": published,
        "docker.host_ip": "use server.eip and ingress.gateway.address: where clients reach server and gateway",
        "egress.disable_ipv6": "leave it out: IPv6 is guarded as IPv4 is",
        "egress.otlp_endpoint": "use otel.endpoint, which is for the guard, too",
        "egress.requests": "leave it out: the guard is a part of this server",
        "egress.limits": "leave it out: the guard is a part of this server",
        "secure_runtime.k8s_runtime_class": secure,
    ]

    private static let tables: [(prefix: String, advice: String)] = [
        ("proxy.", "leave the table out: the server proxy dials a sandbox where it is"),
        ("kubernetes.", "leave the table out: this server has no Kubernetes runtime"),
        ("agent_sandbox.", "leave the table out: this server has no Kubernetes runtime"),
        ("store.postgresql.", "leave the table out: the store is SQLite (store.path)"),
        ("egress.upstream_proxy.", "leave the table out: the guard intercepts nothing, so it needs no proxy"),
    ]
}
