extension Settings {
    /// What `sallyport init-config` writes: every key with its default.
    public static let starterFile = """
        # Sallyport. Everything here is optional; what is commented out shows the default.

        [server]
        # host = "127.0.0.1"            # 0.0.0.0 opens the API to the network
        # port = 8080
        # api_key = ""                  # absent: one is generated and kept; "" asks for no key (see the documentation)
        # eip = ""                      # the host by which clients reach this server, for proxied endpoints
        # names = []                    # further names by which clients reach this server (docs/server.md); ["*"]: any
        # allowed_origins = []          # pages that may call it: ["https://console.example"]
        # max_sandbox_timeout_seconds = 315360000  # how far away a sandbox's end may be, made or renewed: 60 to 10 years
        # timeout_keep_alive = 75       # seconds a connection may stay unused
        # limit_concurrency = 4096      # connections; 0: any number

        [log]
        # level = "INFO"                # DEBUG, INFO, WARNING, ERROR

        [runtime]
        type = "local"                  # crun or runc on this machine

        [local]
        # state_dir = "/var/lib/sallyport"
        # run_dir = "/run/sallyport"    # sockets; readable by root only
        # execd = ""                    # the static execd; absent: looked for beside the program
        # address_pool = "10.200.0.0/16"
        # address_pool_v6 = "fd5a:1179::/64"
        # tag = "sp"                    # tells this server's links and tables from another's
        # disk = "10Gi"                 # of a sandbox that names no resourceLimits.disk
        # disk_limits = "auto"          # what holds sandboxes to it: auto, quota, image or off
        # disk_reserve = "1Gi"          # what stays free on the server's own disk: below that, no sandbox is made
        # log_max_bytes = "16Mi"        # of an entrypoint's output that is kept
        # user_namespaces = "auto"      # required: no sandbox without; off: none has one (docs/isolation.md)
        # reachable_by = ["root"]       # users whose programs on this machine may connect to sandboxes; ["*"]: all
        # ids_base = 1879048192         # ids of this machine that sandboxes' users are, 65536 for each sandbox
        # ids_count = 268304384
        # base_image = "/var/lib/sallyport/base"
        # insecure_registries = []      # host:port of registries without TLS; loopback ones need not be named
        # longest_output_line = 1048576 # bytes of a command's line that wait for its line break
        # unqualified_registry = ""      # of images that name none, such as python:3.11; empty: they are refused
        # oci_runtime = "crun"           # or "runc"; absent: the first of them that is installed

        [ingress]
        # host = "127.0.0.1"
        # port = 28888
        # external = false              # true: `sallyport ingress` runs it in a process of its own
        # conceal_unknown = false       # true: unknown sandboxes answer as forbidden ones do
        # head_timeout_seconds = 10     # for a request's head
        # body_timeout_seconds = 60     # for each 4 KiB of a request's body

        # identity_header = true        # sandboxes are told what opened them (OpenSandbox-Access-Identity)
        # reach_loopback = true         # false: servers that listen on a sandbox's 127.0.0.1 or ::1 are not reached
        # cookies = false               # with mode "uri": a cookie for what signed pages load (see the documentation)
        # trusted_proxies = []          # addresses and blocks whose X-Forwarded-For is believed

        [ingress.limits]                # what is left out is not limited
        # client_rate = 50              # requests a second of one client (an IPv4 address, an IPv6 /64)
        # client_burst = 100
        # client_connections = 200
        # route_rate = 500              # permitted requests a second to one port of a sandbox
        # route_burst = 200
        # sandbox_concurrency = 1000    # requests, streams and tunnels to one sandbox at once
        # max_body_bytes = 1073741824

        [ingress.directory]
        # listen = "127.0.0.1:28889"    # for gateways that cannot reach run_dir/directory.sock
        # plaintext = false             # true: also on an address of a network that only gateways share

        [ingress.gateway]
        # address = "127.0.0.1:28888"   # what endpoints name

        [ingress.gateway.route]
        # mode = "header"               # header, uri or wildcard

        [ingress.secure_access]
        # v1 = "accept"                 # refuse: signed routes of version 1 (32 bits) open nothing
        # sign = 2                      # 1: endpoints get signed routes of version 1, for gateways that know no other
        # active_key = "a"              # absent: a key is generated and kept
        # [[ingress.secure_access.keys]]
        # key_id = "a"
        # key = "<base64>"

        # [ingress.tls]                 # a second listener, for HTTPS and HTTP/2; files are read again when they change
        # host = "127.0.0.1"
        # port = 28443
        # [[ingress.tls.certificates]]  # by the names that they hold; the first for clients that name no host
        # certificate = "/etc/sallyport/example.pem"   # with its chain
        # key = "/etc/sallyport/example.key"           # chmod 600

        [egress]
        # upstreams = ["198.51.100.53"] # resolvers; absent: those of /etc/resolv.conf
        # internal_zones = []           # zones whose names may have private addresses, beside resolv.conf's search
        #                               # domains and cluster.local
        # internal_ranges = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"]
        # refusal = "nxdomain"          # or "refused": what a denied name gets
        # tls_ca_file = ""              # PEM file of the authorities for upstreams over TLS ("tls://…"); absent: the
        #                               # system's
        # upstream_timeout_seconds = 2  # for one upstream; absent: 1.5
        # upstream_probe = "."          # what a silent upstream is asked for, every so many seconds:
        # upstream_probe_interval_seconds = 30
        # randomize_case = true         # 0x20; false for upstreams that keep no case and speak no TCP
        # external = false              # true: `sallyport egress` runs it in a process of its own
        # metrics_listen = ""           # then: where it serves metrics, such as "127.0.0.1:9465"
        # mode = "dns+nft"              # "dns+nft+sni": connections must also name whom their address was learned for
        # unchecked_ports = []          # in that mode: ports of learned addresses for what is neither TLS nor HTTP
        # presets = ""                  # folder of presets; absent: looked for beside the program
        # block_dot = false             # true: port 853 (DNS over TLS and QUIC) is closed whatever policies say
        # block_doh = []                # ["known"]: known resolvers' names, and port 443 of their addresses

        # audit_log = ""                # a file for every decision, a line of JSON each
        # audit_log_max_bytes = 67108864  # then it is put aside as <file>.1; 0: never
        # deny_webhook = ""             # hears of denied names: http://host:port/path

        [egress.budgets]                # of each sandbox; 0 is no limit (docs/egress.md)
        # queries_per_second = 0
        # distinct_names_per_hour = 0
        # wildcard_bytes_per_minute = 512  # information in names under one allowed wildcard
        # wildcard_burst_bytes = 2048
        # connections_per_second = 0
        # connections = 4096            # open at one time; absent: a share of what the machine's conntrack table holds
        # bytes_out = 0                 # in its life

        [otel]
        # enabled = false               # true: metrics go to a collector (OTLP over HTTP, JSON)
        # endpoint = ""                 # http://collector:4318; absent: OTEL_EXPORTER_OTLP_ENDPOINT
        # service_name = "opensandbox-server"
        # export_interval_millis = 60000

        [renew_intent]
        # enabled = false               # true: access prolongs sandboxes made with access.renew.extend.seconds
        # min_interval_seconds = 60     # between two renewals of one sandbox

        [renew_intent.redis]
        # enabled = false               # true: gateways in other processes say through Redis what is used
        # dsn = "redis://127.0.0.1:6379/0"
        # queue_key = "opensandbox:renew:intent"
        # consumer_concurrency = 8
        # queue_max_len = 0             # what `sallyport ingress` lets the list hold; 0: any number

        [store]
        type = "sqlite"
        # path = "/var/lib/sallyport/sallyport.db"

        """

    /// An empty key opens the API to everybody who can reach it. Unless somebody is at a terminal, that must be
    /// confirmed explicitly.
    public func requireKey(isInteractive: Bool, environment: [String: String]) throws(ConfigurationError) {
        guard server.apiKey?.isEmpty == true, !isInteractive, environment["OPENSANDBOX_INSECURE_SERVER"] != "YES" else {
            return
        }
        throw ConfigurationError(
            "the API key is empty: set server.api_key or OPENSANDBOX_SERVER_API_KEY, leave both out to have one generated, "
                + "or accept an open server with OPENSANDBOX_INSECURE_SERVER=YES")
    }
}
