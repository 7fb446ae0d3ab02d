import Testing

@testable import ControlPlane

/// Every key that the reference's configuration has: this server reads it, or says what to use in its place.
@Suite struct ReferenceSettingsTests {
    /// Key and default of each, from the configuration of opensandbox-server 1.1.1; "x" where there is no default.
    private static let keys = """
        server.host = "0.0.0.0"
        server.port = 8080
        server.timeout_keep_alive = 30
        server.limit_concurrency = 1024
        server.timeout_graceful_shutdown = 5
        server.backlog = 2048
        server.thread_pool_size = 200
        server.loop = "auto"
        server.http = "auto"
        server.api_key = "x"
        server.eip = "x"
        server.max_sandbox_timeout_seconds = "x"
        proxy.resolve_internal = true
        log.level = "INFO"
        log.file_enabled = false
        log.file_path = "x"
        log.access_file_path = "x"
        log.file_max_bytes = 104857600
        log.file_backup_count = 5
        tenants.provider = "file"
        tenants.endpoint = "x"
        tenants.max_stale_seconds = 300.0
        tenants.timeout_seconds = 5.0
        tenants.auth_header = "x"
        tenants.auth_token = "x"
        renew_intent.enabled = false
        renew_intent.min_interval_seconds = 60
        renew_intent.redis.enabled = false
        renew_intent.redis.dsn = "x"
        renew_intent.redis.queue_key = "opensandbox:renew:intent"
        renew_intent.redis.consumer_concurrency = 8
        otel.enabled = false
        otel.endpoint = "x"
        otel.service_name = "opensandbox-server"
        otel.export_interval_millis = 60000
        runtime.type = "x"
        runtime.execd_image = "x"
        runtime.execd_run_as_init = false
        kubernetes.kubeconfig_path = "x"
        kubernetes.insecure_skip_tls_verify = false
        kubernetes.informer_resync_seconds = 300
        kubernetes.informer_watch_timeout_seconds = 60
        kubernetes.read_qps = 0.0
        kubernetes.read_burst = 0
        kubernetes.write_qps = 0.0
        kubernetes.write_burst = 0
        kubernetes.namespace = "x"
        kubernetes.fastpath_endpoint = "fast-sandbox-fastpath.opensandbox.svc:9090"
        kubernetes.fastpath_timeout_seconds = 30.0
        kubernetes.fastpath_wait_ready_seconds = 30.0
        kubernetes.fastpath_resource_pool = "default-pool"
        kubernetes.template_s3_publish_secret = "sandbox-oss-credentials"
        kubernetes.workload_provider = "x"
        kubernetes.batchsandbox_template_file = "x"
        kubernetes.sandbox_create_timeout_seconds = 60
        kubernetes.pool_acquisition_timeout_seconds = 30
        kubernetes.sandbox_create_poll_interval_seconds = 1.0
        kubernetes.execd_init_resources = "x"
        kubernetes.image_pull_policy = "IfNotPresent"
        agent_sandbox.template_file = "x"
        agent_sandbox.shutdown_policy = "Delete"
        agent_sandbox.ingress_enabled = true
        ingress.mode = "direct"
        ingress.gateway.address = "x"
        ingress.gateway.route.mode = "x"
        ingress.secure_access.active_key = "x"
        ingress.secure_access.keys = "x"
        docker.network_mode = "host"
        docker.api_timeout = "x"
        docker.host_ip = "x"
        docker.drop_capabilities = ["AUDIT_WRITE", "MKNOD", "NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_TIME", "SYS_TTY_CONFIG"]
        docker.apparmor_profile = "x"
        docker.no_new_privileges = true
        docker.seccomp_profile = "x"
        docker.port_range_min = 40000
        docker.port_range_max = 60000
        docker.publish_host = "0.0.0.0"
        docker.pids_limit = 4096
        docker.sandbox_env = {}
        docker.sandbox_binds = []
        storage.allowed_host_paths = []
        storage.volume_default_size = "1Gi"
        storage.ossfs_mount_root = "/mnt/ossfs"
        store.type = "sqlite"
        store.path = "/root/.opensandbox/opensandbox.db"
        store.postgresql.dsn = "x"
        store.postgresql.min_pool_size = 1
        store.postgresql.max_pool_size = 10
        store.postgresql.connect_timeout_seconds = 5
        store.postgresql.pool_timeout_seconds = 5.0
        store.postgresql.snapshot_recovery_interval_seconds = 15.0
        egress.image = "x"
        egress.mode = "dns"
        egress.disable_ipv6 = true
        egress.otlp_endpoint = "x"
        egress.readiness_timeout_seconds = 30.0
        egress.requests = "x"
        egress.limits = "x"
        egress.upstream_proxy.url = "x"
        egress.upstream_proxy.authorization = "x"
        egress.upstream_proxy.ca_cert_path = "x"
        egress.upstream_proxy.ca_secret_name = "x"
        secure_runtime.type = ""
        secure_runtime.docker_runtime = "x"
        secure_runtime.k8s_runtime_class = "x"
        """

    private static let all = keys.split(separator: "\n").map { line in
        let parts = line.split(separator: "=", maxSplits: 1).map { $0.filter { $0 != " " } }
        return (key: parts[0], value: parts[1])
    }

    /// What is said about a file with one key.
    private func answer(_ key: String, _ value: String) -> String? {
        let parts = key.split(separator: ".")
        var settings = Settings()
        do throws(ConfigurationError) {
            try settings.apply(
                text: "[\(parts.dropLast().joined(separator: "."))]\n\(parts.last!) = \(value)\n", path: "test.toml")
            return nil
        } catch { return error.description }
    }

    @Test func `no key of the reference's is unknown`() {
        #expect(Self.all.count > 90)
        for (key, value) in Self.all {
            guard let answer = answer(key, value) else { continue }
            let table = key.split(separator: ".").dropLast().joined(separator: ".")
            #expect(answer.contains(table) && !answer.contains("is unknown"), "\(answer)")
        }
    }

    @Test func `what this server has is read, and what it has not is told by its name`() {
        let taken = Self.all.filter { answer($0.key, $0.value) == nil }.map(\.key)
        for key in [
            "server.port", "server.eip", "log.level", "renew_intent.min_interval_seconds", "otel.enabled",
            "log.file_enabled", "log.file_max_bytes", "log.file_backup_count", "tenants.provider",
        ] {
            #expect(taken.contains(key), "\(key)")
        }
        for (key, value, word) in [
            ("server.loop", "\"uvloop\"", "there is one event loop"),
            ("docker.api_timeout", "60", "runtime.type"), ("docker.port_range_min", "40000", "the gateway reaches"),
            ("tenants.endpoint", "\"x\"", "write provider = \"file\" or provider = \"http\""),
            ("docker.host_ip", "\"x\"", "server.eip"),
            ("docker.sandbox_env", "{ A = 1 }", "sandbox_env.A"),
        ] { #expect(answer(key, value)?.contains(word) == true, "\(key)") }
    }

    @Test func `all of them are told at once, and tables that are left empty`() {
        var settings = Settings()
        let file = """
            [proxy]
            [server]
            loop = "uvloop"
            [docker]
            port_range_min = 40000
            port_range_max = 60000
            sandbox_env = { LOOP = "x" }
            """
        do throws(ConfigurationError) {
            try settings.apply(text: file, path: "test.toml")
            Issue.record("it was taken")
        } catch {
            let lines = error.description.split(separator: "\n")
            #expect(lines.count == 4)
            #expect(lines[0] == "test.toml: it has settings of OpenSandbox's server that this one does not have")
            #expect(lines[1].hasPrefix("  docker.port_range_max, docker.port_range_min: use [local.ports]"))
            #expect(lines[2].hasPrefix("  proxy: leave the table out"))
            #expect(lines[3].hasPrefix("  server.loop: leave it out"))
        }
    }

    @Test func `a whole number may be written with a point`() throws {
        var settings = Settings()
        try settings.apply(text: "[egress]\nreadiness_timeout_seconds = 30.0\n", path: "test.toml")
        #expect(settings.egress.readiness == 30)
        for number in ["30.5", "1e300", "nan", "-inf"] {
            #expect(throws: ConfigurationError.self) {
                try settings.apply(text: "[egress]\nreadiness_timeout_seconds = \(number)\n", path: "test.toml")
            }
        }
    }

    @Test func `a key that nobody has is still told from these`() {
        #expect(answer("server.lop", "1")?.contains("server.lop is unknown") == true)
        #expect(answer("dockers.network_mode", "1")?.contains("is unknown") == true)
        #expect(answer("server.hots", "1")?.contains("did you mean host?") == true)
    }
}
