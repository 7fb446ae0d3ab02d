import Addresses
import DNSFilter
import Egress
import FlowCheck
import Foundation
import Ingress
import NetworkPolicy
import Redis
import Runtimes
import SecureAccess
import ServerTLS
import Testing

@testable import ControlPlane

private func settings(_ text: String) throws -> Settings {
    var settings = Settings()
    try settings.apply(text: text, path: "test.toml")
    return settings
}

private let docker = "[runtime]\ntype = \"docker\"\n[docker]\n"

@Suite struct SettingsTests {
    @Test func `the starter file is the defaults`() throws {
        let read = try settings(Settings.starterFile), fresh = Settings()
        #expect("\(read.server)" == "\(fresh.server)" && "\(read.local)" == "\(fresh.local)")
        // Every commented key and table is one that there is: uncommented, they still read, and change nothing. Of tenants there are two
        // kinds, with keys of their own.
        var table = ""
        let uncommented = Settings.starterFile.split(separator: "\n").map { line in
            if let found = line.firstMatch(of: /^(?:# )?(\[.*\])$/) { table = String(found.1) }
            let isOfHTTP = table == "[tenants]" && line.firstMatch(of: /^# (endpoint|max_stale|timeout|auth_)/) != nil
            guard !isOfHTTP, line.firstMatch(of: /^# (\[|\w+ = )/) != nil else { return String(line) }
            return String(line.dropFirst(2)).replacing("<base64>", with: "c2VjcmV0")
        }
        let again = try settings(uncommented.joined(separator: "\n"))
        #expect(again.server.maxSandboxTimeout == 315_360_000 && again.server.port == 8080)
        #expect(again.gateway.tls?.certificates.count == 1 && again.gateway.traffic.clientRate == 50)
    }

    @Test func `whatever file of the server's is named, sandboxes are not given it`() throws {
        var settings = Settings()
        settings.server.tls = TLSListener(port: 1, certificates: [CertificateFiles(certificate: "/t/c", key: "/t/k")])
        settings.gateway.tls = TLSListener(port: 2, certificates: [CertificateFiles(certificate: "/g/c", key: "/g/k")])
        (settings.file, settings.tenants) = ("/etc/sallyport.toml", "/tenants")
        (settings.storePath, settings.server.auditLog, settings.egress.auditLog) = ("/db", "/audit", "/decisions")
        (settings.local.stateDirectory, settings.local.runDirectory) = ("/state", "/run/s")
        (settings.local.baseImage, settings.local.codeImage, settings.local.execd) = ("/base", "/code", "/execd")
        (settings.storage.bucketRoot, settings.server.pages, settings.egress.presets) = ("/oss", "/pages", "/presets")
        (settings.egress.ownPresets, settings.egress.rulesFolder) = ("/presets/own", "/rules")
        settings.egress.defaultPolicy = "/default.json"
        #expect(
            Set(settings.ownFiles) == [
                "/t/c", "/t/k", "/g/c", "/g/k", "/etc/sallyport.toml", "/db", "/audit", "/decisions", "/state",
                "/run/s",
                "/base", "/code", "/execd", "/oss", "/pages", "/presets", "/presets/own", "/rules",
                "/default.json",
                "/tenants",
            ])
    }

    @Test func `an example is read, and one for what there is no runtime for says so`() throws {
        #expect(try settings(Settings.Example.local.file).server.host == "0.0.0.0")
        #expect(try settings(Settings.Example.local.file).gateway.advertised == "sandboxes.example:28888")
        #expect(try settings(Settings.Example.docker.file).runtime == .docker)
        #expect(try settings(Settings.Example.k8s.file).runtime == .local)
        #expect(Settings.Example.k8s.file.hasPrefix("# NOT YET: there is no Kubernetes runtime"))
    }

    @Test func `a file with nothing but defaults changes nothing`() throws {
        var lines: [String] = []
        for section in Settings.sections {
            lines += ["[\(section.path)]"] + section.keys.filter(\.hasDefault).map { "\($0.name) = \($0.shown)" }
        }
        var read = try settings(lines.joined(separator: "\n"))
        // Said aloud, it is no longer what execd has of its own.
        read.local.maxOutputLine = nil
        #expect("\(read)" == "\(Settings())")
    }

    @Test func `ports are published where there is a range, to this machine alone until others are named`() throws {
        #expect(try settings("[local.ports]\nallow = [\"::/0\"]").local.ports == nil)
        let usual = try #require(try settings("[local.ports]\nfirst = 40000\nlast = 40001").local.ports)
        #expect(
            usual.configuration == PortConfiguration(range: 40000...40001, sources: .machine)
                && usual.host == "127.0.0.1")
        let named = try settings(
            "[local.ports]\nfirst = 1024\nlast = 1024\nhost = \"2001:db8::1\"\nallow = [\"10.0.0.0/8\"]\ndeny = [\"10.0.0.1\"]"
        )
        #expect(named.local.ports?.host == "[2001:db8::1]")
        #expect(
            named.local.ports?.configuration.sources
                == SourceList(allow: [CIDRBlock("10.0.0.0/8")!], deny: [CIDRBlock("10.0.0.1")!]))
    }

    @Test(arguments: [
        ("first = 40000", "first and last"), ("first = 1023\nlast = 2000", "1024"),
        ("first = 2000\nlast = 1999", "no less"),
        ("first = 2000\nlast = 65536", "65535"), ("first = 2000\nlast = 2001\nallow = [\"x\"]", "allow"),
        ("first = 2000\nlast = 2001\nalways = [18080]", "always"),
        ("first = 2000\nlast = 2001\nalways = [1, 1]", "always"),
        ("first = 2000\nlast = 2001\nalways = [65536]", "always"),
        ("first = 2000\nlast = 2001\nalways = [\"80\"]", "always"),
        ("first = 2000\nlast = 2001\nhost = \"h:80\"", "host"), ("first = 2000\nlast = 2001\nhost = \"\"", "host"),
        (
            "first = 2000\nlast = 2001\ndeny = [\(Array(repeating: "\"10.0.0.1\"", count: 33).joined(separator: ","))]",
            "32"
        ),
    ]) func `a range or list that no ports can have is told by its key`(_ text: String, _ word: String) throws {
        let error = try #require(throws: ConfigurationError.self) { _ = try settings("[local.ports]\n" + text) }
        #expect(error.description.contains("local.ports") && error.description.contains(word), "\(error)")
    }

    @Test func `certificates are for an engine that is named, and not for a socket`() throws {
        for (text, word) in [
            ("tls_dir = \"/certs\"", "docker.host"), ("host = \"unix:///a\"\ntls_dir = \"/certs\"", "no TLS"),
        ] {
            let error = try #require(throws: ConfigurationError.self) { _ = try settings(docker + text) }
            #expect(error.description.contains(word), "\(error)")
        }
        #expect(try settings(docker + "host = \"tcp://engine\"\ntls_dir = \"/certs\"").docker.certificates == "/certs")
    }

    @Test func `ports of every sandbox are listed`() throws {
        let read = try settings("[local.ports]\nfirst = 2000\nlast = 2001\nalways = [44772, 8080]").local.ports
        #expect(read?.always == [44772, 8080] && Settings().local.ports == nil)
    }

    @Test func `sandboxes run under gVisor where the file says so, and under nothing that is not there`() throws {
        #expect(try settings("[secure_runtime]\ntype = \"\"\npath = \"/x\"").local.gVisor == nil)
        let file = "[secure_runtime]\ntype = \"gvisor\"\npath = \"/opt/runsc\"\nplatform = \"kvm\""
        #expect(try settings(file).local.gVisor == GVisorConfiguration(program: "/opt/runsc", platform: "kvm"))
        for (text, word) in [
            ("type = \"kata\"", "kata"), ("type = \"firecracker\"", "firecracker"), ("type = \"runsc\"", "gvisor"),
            ("platform = \"--x\"", "platform"),
        ] {
            let error = try #require(throws: ConfigurationError.self) { _ = try settings("[secure_runtime]\n" + text) }
            #expect(error.description.contains(word))
        }
        #expect(throws: ConfigurationError.self) {
            try settings("[local]\nuser_namespaces = \"required\"\n[secure_runtime]\ntype = \"gvisor\"")
        }
    }

    /// `sallyport settings >docs/configuration.md` makes it anew.
    @Test func `the page of the configuration is that of the table`() throws {
        let path = "../../../docs/configuration.md"
        let page = URL(filePath: #filePath).deletingLastPathComponent().appending(path: path)
        #expect(try String(contentsOf: page, encoding: .utf8) == Settings.page() + "\n")
        #expect(Settings.page(prefix: "egress.budgets.").contains("bytes_out"))
        #expect(Settings.page(prefix: "nothing").isEmpty)
    }

    @Test(arguments: [
        "[server]\napi_key = 271828", "[renew_intent.redis]\nenabled = true\ndsn = \"redis//:271828@h\"",
        "[egress]\ndeny_webhook = \"http://u:271828@h/\"",
        "[[ingress.secure_access.keys]]\nkey_id = \"a\"\nkey = 271828",
    ]) func `no message repeats a secret`(_ text: String) throws {
        let error = try #require(throws: ConfigurationError.self) { _ = try settings(text) }
        #expect(!error.description.contains("271828"), "\(error)")
    }

    @Test func `what a file says is taken, what it does not name keeps its default`() throws {
        let read = try settings(
            """
            [server]
            port = 9000
            api_key = "k"
            [ingress.gateway]
            address = "gw.example:443"
            [ingress.gateway.route]
            mode = "uri"
            [ingress.secure_access]
            active_key = "b"
            [[ingress.secure_access.keys]]
            key_id = "b"
            key = "c2VjcmV0"
            [egress]
            upstreams = ["198.51.100.53", "[2001:db8::1]:5353"]
            internal_zones = ["corp.example"]
            mode = "dns+nft+sni"
            unchecked_ports = [22, 8443]
            [local]
            address_pool = "10.9.0.0/16"
            """)
        #expect(read.server.port == 9000 && read.server.apiKey == "k" && read.server.host == "127.0.0.1")
        #expect(read.gateway.routing == .uri && read.gateway.advertised == "gw.example:443")
        #expect(read.gateway.keys?.active == "b" && read.egress.upstreams?.map(\.port) == [53, 5353])
        #expect(read.local.addressPool == CIDRBlock("10.9.0.0/16"))
        #expect(read.egress.flowCheck?.uncheckedPorts == [22, 8443])
    }

    @Test(arguments: ["0.0.0.0", "::", "0:0:0:0:0:0:0:0", "::ffff:0.0.0.0"])
    func `a gateway on every address needs one that endpoints can name`(_ host: String) throws {
        let listening = "[ingress]\nhost = \"\(host)\"\n"
        for text in [listening, listening + "[ingress.gateway]\naddress = \"\""] {
            let error = try #require(throws: ConfigurationError.self) { _ = try settings(text) }
            #expect(error.description.contains("set ingress.gateway.address"), "\(error)")
        }
        let named = try settings(listening + "[ingress.gateway]\naddress = \"gw.example:443\"")
        #expect(named.gateway.advertised == "gw.example:443")
    }

    @Test(arguments: [("192.0.2.1", "192.0.2.1:28888"), ("2001:db8::1", "[2001:db8::1]:28888")])
    func `without an address endpoints name where the gateway listens`(_ host: String, _ address: String) throws {
        #expect(try settings("[ingress]\nhost = \"\(host)\"").gateway.advertised == address)
    }

    @Test func `TLS is a second listener, and none where nothing is said`() throws {
        #expect(try settings("[ingress]\nport = 1").gateway.tls == nil)
        let pairs = """
            [[ingress.tls.certificates]]
            certificate = "/a.pem"
            key = "/a.key"
            [[ingress.tls.certificates]]
            certificate = "/b.pem"
            key = "/b.key"
            """
        let files = ["a", "b"].map { CertificateFiles(certificate: "/\($0).pem", key: "/\($0).key") }
        let read = try settings("[ingress]\nhost = \"192.0.2.1\"\n" + pairs).gateway
        #expect(read.tls == TLSListener(host: "192.0.2.1", port: 28443, certificates: files))
        let other = try settings("[ingress.tls]\nhost = \"192.0.2.2\"\nport = 443\n" + pairs).gateway
        #expect(other.tls == TLSListener(host: "192.0.2.2", port: 443, certificates: files))
    }

    @Test func `the API has a second listener of its own`() throws {
        #expect(try settings("[server]\nport = 1").server.tls == nil)
        let pair = """
            [[server.tls.certificates]]
            certificate = "/a.pem"
            key = "/a.key"
            """
        let files = [CertificateFiles(certificate: "/a.pem", key: "/a.key")]
        let read = try settings("[server]\nhost = \"192.0.2.1\"\n" + pair)
        #expect(read.server.tls == TLSListener(host: "192.0.2.1", port: 8443, certificates: files))
        #expect(read.gateway.tls == nil && read.server.ownNames.contains("192.0.2.1"))
        let other = try settings("[server.tls]\nhost = \"192.0.2.2\"\nport = 443\n" + pair).server
        #expect(other.tls == TLSListener(host: "192.0.2.2", port: 443, certificates: files))
        #expect(other.ownNames.contains("192.0.2.2"))
    }

    @Test func `a listener with TLS follows an option for the address beside it, unless it has one of its own`() throws
    {
        var settings = Settings()
        try settings.apply(
            text: """
                [server]
                host = "0.0.0.0"
                [[server.tls.certificates]]
                certificate = "/c"
                key = "/k"
                [ingress.tls]
                host = "192.0.2.2"
                [[ingress.tls.certificates]]
                certificate = "/c"
                key = "/k"
                """, path: "c.toml")
        var options = ServeOptions()
        options.host = "127.0.0.1"
        options.apply(to: &settings)
        #expect(settings.server.host == "127.0.0.1" && settings.server.tls?.host == "127.0.0.1")
        settings.gateway.host = "127.0.0.9"
        #expect(settings.gateway.tls?.host == "192.0.2.2")
    }

    @Test(arguments: [
        ("[ingress.tls]\nport = 443", "ingress.tls"), ("[server.tls]\nport = 443", "server.tls"),
        ("[server]\nport = 0", "server.port"),
        ("[server]\nport = \"x\"", "server.port"), ("[server", "line 1"),
        ("[server]\nmax_sandbox_timeout_seconds = 5", "max_sandbox_timeout_seconds"),
        ("[server]\nmax_sandbox_timeout_seconds = 315360001", "max_sandbox_timeout_seconds"),
        ("[server]\nlimit_concurrency = -1", "limit_concurrency"), ("[server]\nport = 8080.5", "server.port"),
        ("[server]\ntimeout_keep_alive = 9223372036854775807", "timeout_keep_alive"),
        ("[server]\ntimeout_keep_alive = -1", "timeout_keep_alive"),
        ("[renew_intent]\nmin_interval_seconds = 9223372036854775807", "min_interval_seconds"),
        ("[otel]\nexport_interval_millis = -5", "export_interval_millis"),
        ("[otel]\nexport_interval_millis = 9223372036854775807", "export_interval_millis"),
        ("[ingress.limits]\nmax_body_bytes = -1", "max_body_bytes"),
        ("[ingress.limits]\nclient_burst = 9223372036854775807", "client_burst"),
        ("[egress]\naudit_log_max_bytes = -1", "audit_log_max_bytes"),
        ("[egress.budgets]\nconnections = -1", "budgets.connections"),
        ("[ingress.gateway.route]\nmode = \"wildcard\"", "domain"),
        ("[ingress.gateway]\naddress = \"192.0.2.1:80\"\nroute.mode = \"wildcard\"", "domain"),
        ("[ingress.gateway]\naddress = \":80\"\nroute.mode = \"wildcard\"", "domain"),
        ("[server]\napi_key = 2026-01-01", "api_key is a date"),
        ("[egress]\ndeny_webhook = 12:00:00", "is a date or a time"),
        ("[local]\nreachable_by = [2026-01-01T00:00:00Z]", "reachable_by is a date"),
        ("[server]\nnames = [\"https://a.example\"]", "server.names"), ("[server]\nnames = [\"\"]", "server.names"),
        ("server = 1", "server is a table"), ("[ingress]\ntls = \"x\"", "ingress.tls is a table"),
        ("[ingress.tls]\ncertificates = \"x\"", "[[ingress.tls.certificates]]"),
        ("[[ingress.tls.certificates]]\ncertificate = \"a\"", "certificates.0.key is missing"),
        (docker + "host = \"ssh://engine\"", "docker.host"), (docker + "api_timeout = 0", "docker.api_timeout"),
        (docker + "pull_policy = \"sometimes\"", "docker.pull_policy"),
        (docker + "drop_capabilities = [\"NET RAW\"]", "docker.drop_capabilities"),
        (docker + "sandbox_env = { A = 1 }", "docker.sandbox_env.A"),
        (docker + "sandbox_env = [\"A=1\"]", "sandbox_env"),
        (docker + "sandbox_binds = [\"/a\"]", "docker.sandbox_binds.0"),
        (docker + "sandbox_binds = [\"data:/a\"]", "docker.sandbox_binds.0"),
        (docker + "sandbox_binds = [\"/a:/opt/opensandbox\"]", "docker.sandbox_binds.0"),
        (docker + "sandbox_binds = [\"/a:/b:shared\"]", "docker.sandbox_binds.0"),
        (docker + "network_mode = \"Host\"", "docker.network_mode"),
        (docker + "network_mode = \"container:guard\"", "docker.network_mode"),
        (docker + "pids_limit = -1", "docker.pids_limit"),
        ("[egres]\n", "egres is unknown; did you mean egress?"),
        ("[server]\nprot = 1", "server.prot is unknown; did you mean port?"),
        ("[egress]\nBudgets = {}", "did you mean budgets?"), ("top = 1", "top"),
        ("[docker]\napi_timeout = 60", "runtime.type"),
        ("[[ingress.tls.certificates]]\ncertificate = \"a\"\nkey = \"b\"\nchain = \"c\"", "certificates.0.chain"),
        ("[runtime]\ntype = \"kubernetes\"", "runtime.type"), ("[store]\ntype = \"postgresql\"", "store.type"),
        ("[log]\nlevel = \"LOUD\"", "log.level"), ("[ingress]\nmode = \"direct\"", "ingress.mode"),
        ("[ingress.gateway.route]\nmode = \"x\"", "route.mode"), ("[local]\ntag = \"toolong\"", "local.tag"),
        ("[local]\nnetwork_mode = \"bridge\"", "local.network_mode"),
        ("[local]\nuser_namespaces = \"maybe\"", "local.user_namespaces"), ("[local]\nids_base = 0", "local.ids_base"),
        ("[local]\nids_count = 65535", "local.ids_count"), ("[local]\nids_base = -1", "local.ids_base"),
        ("[local]\nids_base = 4294901760", "local.ids_base"), ("[local]\nids_count = 9223372036854775807", "ids_count"),
        ("[local]\nreachable_by = [\"no such user\"]", "local.reachable_by"),
        ("[local]\ntag = \"a-b\"", "local.tag"), ("[local]\naddress_pool = \"10.0.0.0/30\"", "address_pool"),
        ("[local]\naddress_pool = \"169.254.0.0/16\"", "169.254.0.0/16"),
        ("[local]\naddress_pool = \"239.1.0.0/16\"", "224.0.0.0/3"),
        ("[local]\naddress_pool_v6 = \"fe80:1::/64\"", "fe80::/10"), ("[local]\naddress_pool_v6 = \"::/0\"", "::/8"),
        ("[local]\naddress_pool = \"fd00::/64\"", "address_pool"),
        ("[local]\naddress_pool = \"10.0.0.1/8\"", "use 10.0.0.0/8, which it is in"),
        ("[egress]\ninternal_ranges = [\"10.0.0.1/8\"]", "use 10.0.0.0/8 for the network, or 10.0.0.1 for the address"),
        ("[local.ports]\nfirst = 2000\nlast = 2010\nallow = [\"2001:db8::1/32\"]", "use 2001:db8::/32 for the network"),
        ("[server]\nport.port = 80", "server.port is a table; use 1 to 65535"),
        (
            "[server]\nallowed_origins = [\"https://x.org/path\"]",
            "use https://host or http://host:port with nothing after it"
        ),
        ("[egress]\nupstreams = [\"dns.example\"]", "upstreams"),
        ("[egress]\nupstreams = [\"tls://198.51.100.53\", \"198.51.100.53\"]", "upstreams"),
        ("[egress]\ninternal_ranges = [\"10\"]", "internal_ranges"), ("[egress]\nrefusal = \"drop\"", "refusal"),
        ("[egress]\ntls_ca_file = \"ca.pem\"", "tls_ca_file"),
        ("[egress]\nupstream_probe = \"a..b\"", "upstream_probe"),
        ("[egress]\nupstream_timeout_seconds = 0", "upstream_timeout_seconds"),
        ("[egress]\nupstream_probe_interval_seconds = 9999", "upstream_probe_interval_seconds"),
        ("[egress]\nmode = \"dns\"", "egress.mode"),
        ("[egress]\nmetrics_listen = \"localhost\"", "egress.metrics_listen"),
        ("[egress]\nunchecked_ports = [22]", "unchecked_ports"),
        ("[egress]\nmode = \"dns+nft+sni\"\nunchecked_ports = [0]", "unchecked_ports"),
        ("[ingress.secure_access]\nactive_key = \"a\"\nkeys = []", "secure_access"),
        ("[ingress.secure_access]\nkeys = []", "active_key"), ("[ingress.secure_access]\nv1 = \"maybe\"", "v1"),
        ("[ingress.secure_access]\nsign = 3", "sign"),
        ("[ingress.secure_access]\nsign = 1\nv1 = \"refuse\"", "sign = 1"),
        ("[renew_intent]\nmin_interval_seconds = 0", "min_interval_seconds"),
        ("[ingress]\nhead_timeout_seconds = 0", "head_timeout_seconds"),
        ("[ingress]\nbody_timeout_seconds = 3601", "body_timeout_seconds"),
        ("[renew_intent]\nredis.enabled = true", "redis.dsn"),
        ("[server]\naudit_log = \"/tmp/a\"\n[egress]\naudit_log = \"/tmp/./x/..//a\"", "the same file"),
        ("[server]\naudit_log = \"/tmp/a.1\"\n[egress]\naudit_log = \"/tmp/a\"", "the same file"),
        ("[server]\naudit_log = \"/tmp/a.2.gz\"\n[log]\nfile_enabled = true\nfile_path = \"/tmp/a\"", "the same file"),
        ("[tenants]\nprovider = \"http\"", "tenants.endpoint"), ("[tenants]\npath = \"/t\"", "tenants.provider"),
        ("[tenants]\nprovider = \"file\"\npath = \"t\"", "tenants.path"),
        ("[tenants]\nprovider = \"file\"\nendpoint = \"http://t\"", "tenants.endpoint"),
        ("[log]\nfile_path = \"x\"", "log.file_path"), ("[log]\nfile_max_bytes = 0", "log.file_max_bytes"),
        ("[renew_intent]\nredis.enabled = true\nredis.dsn = \"rediss://h?ssl_cert_reqs=none\"", "redis.dsn"),
        (
            "[renew_intent]\nredis = {enabled = true, dsn = \"redis://h\", consumer_concurrency = 0}",
            "consumer_concurrency"
        ),
        ("[ingress]\ncookies = true", "ingress.cookies"), ("[ingress]\ntrusted_proxies = [\"x\"]", "trusted_proxies"),
        ("[ingress.limits]\nclient_rate = 0", "client_rate"),
        ("[ingress.directory]\nlisten = \"x\"", "directory.listen"),
        ("[ingress.directory]\nlisten = \"unix:/x\"", "directory.listen"),
        ("[ingress.directory]\nlisten = \"198.51.100.1:1\"", "plaintext"),
    ]) func `a mistake is named`(_ text: String, _ place: String) throws {
        let error = try #require(throws: ConfigurationError.self) { _ = try settings(text) }
        #expect(error.description.contains(place), "\(error)")
    }

    @Test func `the resolution of names is set`() throws {
        let egress = try settings(
            """
            [egress]
            upstreams = ["tls://198.51.100.53#dns.example"]
            internal_ranges = ["10.1.0.0/16"]
            upstream_timeout_seconds = 3
            upstream_probe = "up.example"
            upstream_probe_interval_seconds = 0
            tls_ca_file = "/ca.pem"
            randomize_case = false
            refusal = "refused"
            """
        ).egress
        #expect(egress.upstreams?.map(\.description) == ["tls://198.51.100.53:853#dns.example"])
        #expect(egress.internalRanges.map(\.description) == ["10.1.0.0/16"])
        #expect(egress.dns.timeout == 3000 && egress.dns.probeInterval == 0)
        #expect(egress.dns.probeName?.description == "up.example" && egress.dns.tlsAuthorities == "/ca.pem")
        #expect(!egress.dns.randomisesCase && egress.dns.refusal == .refused)
    }

    @Test func `signed routes and renewal are set without keys`() throws {
        let read = try settings(
            "[ingress.secure_access]\nv1 = \"refuse\"\n[renew_intent]\nenabled = true\nmin_interval_seconds = 5")
        #expect(!read.gateway.acceptsVersion1 && read.gateway.signs == .two && read.gateway.keys == nil)
        #expect(read.renewal.isEnabled && read.renewal.interval == 5)
        #expect(Settings().gateway.acceptsVersion1 && !Settings().renewal.isEnabled)
        #expect(try settings("[ingress.secure_access]\nsign = 1").gateway.signs == .one)
    }

    @Test func `how long slow clients may take is set`() throws {
        let read = try settings("[ingress]\nhead_timeout_seconds = 3\nbody_timeout_seconds = 7").gateway
        #expect(read.headTimeout == 3 && read.bodyTimeout == 7)
        #expect(Settings().gateway.headTimeout == 10 && Settings().gateway.bodyTimeout == 60)
    }

    @Test func `limits, proxies, the directory and Redis are off until they are set`() throws {
        let none = Settings().gateway
        #expect(none.traffic == .none && none.trustedProxies == .none && none.directory == nil)
        #expect(none.tellsIdentity && !none.cookies && Settings().renewal.redis == nil)
        let read = try settings(
            """
            [ingress]
            identity_header = false
            cookies = true
            trusted_proxies = ["192.0.2.0/24"]
            [ingress.gateway.route]
            mode = "uri"
            [ingress.limits]
            client_rate = 5
            sandbox_concurrency = 7
            max_body_bytes = 9
            [ingress.directory]
            listen = "127.0.0.1:28889"
            [renew_intent]
            redis.enabled = true
            redis.dsn = "redis://:hush@h:1/2"
            """)
        #expect(!read.gateway.tellsIdentity && read.gateway.cookies && read.gateway.trustedProxies != .none)
        #expect(read.gateway.traffic.clientRate == 5 && read.gateway.traffic.sandboxConcurrency == 7)
        #expect(read.gateway.traffic.maxBody == 9 && read.gateway.directory?.description == "127.0.0.1:28889")
        let redis = try #require(read.renewal.redis)
        #expect(redis.address.password == "hush" && redis.workers == 8 && redis.queue == "opensandbox:renew:intent")
        #expect(try settings("[renew_intent]\nredis.dsn = \"redis://h\"").renewal.redis == nil)
    }

    @Test func `the environment has the last word on the key`() throws {
        var read = try settings("[server]\napi_key = \"file\"")
        try read.apply(environment: ["OPENSANDBOX_SERVER_API_KEY": "environment"])
        #expect(read.server.apiKey == "environment")
        try read.apply(environment: [
            "OPENSANDBOX_SECURE_ACCESS_KEYS": "a=base64:YQ==,b=base64:Yg==",
            "OPENSANDBOX_SECURE_ACCESS_ACTIVE_KEY": "b",
        ])
        #expect(read.gateway.keys?.active == "b")
        for wrong in [
            ["OPENSANDBOX_SECURE_ACCESS_KEYS": "a=x"], ["OPENSANDBOX_SERVER_APIKEY": "x"], ["OPENSANDBOX_API_KEY": "x"],
        ] {
            let error = #expect(throws: ConfigurationError.self) { try read.apply(environment: wrong) }
            #expect(error?.description.contains(wrong.keys.first!) == true)
        }
    }

    @Test func `an empty key needs somebody who says so`() throws {
        var open = Settings()
        open.server.apiKey = ""
        #expect(throws: ConfigurationError.self) { try open.requireKey(isInteractive: false, environment: [:]) }
        try open.requireKey(isInteractive: true, environment: [:])
        try open.requireKey(isInteractive: false, environment: ["OPENSANDBOX_INSECURE_SERVER": "YES"])
        try Settings().requireKey(isInteractive: false, environment: [:])
    }

    @Test func `containers in the machine's own network are asked for by name, and need a key`() throws {
        var shared = try settings(docker + "network_mode = \"host\"")
        #expect(shared.sharedNetwork == "docker.network_mode = \"host\"")
        #expect(try settings(docker).sharedNetwork == nil)
        #expect(try settings("[local]\nnetwork_mode = \"host\"").sharedNetwork == "local.network_mode = \"host\"")
        try RuntimePlane.checkNetwork(shared)
        shared.server.apiKey = ""
        let error = #expect(throws: ConfigurationError.self) {
            try shared.requireKey(isInteractive: true, environment: ["OPENSANDBOX_INSECURE_SERVER": "YES"])
        }
        #expect(error?.description.contains("docker.network_mode") == true)
    }

    @Test(arguments: [
        ("host = \"tcp://127.0.0.1:2375\"", "asks who connects"),
        ("host = \"https://127.0.0.1:2376\"", "asks who connects"),
        ("[egress]\nplacement = \"sidecar\"\nimage = \"x\"", "egress.placement"),
        ("[egress]\nrules_dir = \"/etc\"", "egress.rules_dir"),
        ("[local.ports]\nfirst = 20000\nlast = 20009", "[local.ports]"),
        ("[local]\nnetwork_mode = \"host\"", "runtime.type"), ("[secure_runtime]\ntype = \"gvisor\"", "secure_runtime"),
    ])
    func `what cannot be had in the machine's own network is refused`(_ text: String, _ word: String) throws {
        let read = try settings(docker + "network_mode = \"host\"\n" + text)
        let error = #expect(throws: ConfigurationError.self) { try RuntimePlane.checkNetwork(read) }
        #expect(error?.description.contains(word) == true, "\(error.map(String.init(describing:)) ?? "")")
    }

    @Test func `a generated secret is kept, for its owner only`() throws {
        let folder = "/tmp/spt-secrets-\(UInt32.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let file = SecretFile(folder: folder, name: "key")
        #expect(try file.load { "first" } == "first")
        #expect(try file.load { "second" } == "first")
        let rights = try FileManager.default.attributesOfItem(atPath: folder + "/key")[.posixPermissions] as? Int
        #expect(rights == 0o600)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["key"])
    }
}
