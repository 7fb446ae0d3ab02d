/// Keys of the reference's configuration that this server does not have, each with what to do instead: who brings a file of the
/// reference's is told so at the start, and nothing of it is passed over.
enum ReferenceSettings {
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
        "ingress.mode":
            "leave it out: there is always a gateway ([ingress]); external = true leaves it to another process",
        "docker.port_range_min": published, "docker.port_range_max": published, "docker.publish_host": published,
        "docker.host_ip": "use server.eip and ingress.gateway.address: where clients reach server and gateway",
        "egress.disable_ipv6": "leave it out: IPv6 is guarded as IPv4 is",
        "egress.otlp_endpoint": "use otel.endpoint, which is for the guard, too",
        "egress.requests": "leave it out: the guard is a part of this server",
        "egress.limits": "leave it out: the guard is a part of this server",
        "secure_runtime.k8s_runtime_class": secure,
    ]

    private static let tables: [(prefix: String, advice: String)] = [
        ("tenants.", "leave it out: tenants are in a file here (provider = \"file\")"),
        ("kubernetes.", "leave the table out: this server has no Kubernetes runtime"),
        ("agent_sandbox.", "leave the table out: this server has no Kubernetes runtime"),
        ("store.postgresql.", "leave the table out: the store is SQLite (store.path)"),
        ("egress.upstream_proxy.", "leave the table out: the guard intercepts nothing, so it has no proxy behind it"),
    ]
}
