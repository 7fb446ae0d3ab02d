import DNSFilter
import Egress
import HTTPClient
import Ingress
import Logging
import NetworkPolicy
import Redis
import Runtimes
import SecureAccess

/// Everything that a server can be told, with its defaults (docs/server.md#configuration).
public struct Settings: Sendable {
    public struct Server: Sendable {
        /// Only this machine, unless told otherwise.
        public var host = "127.0.0.1"
        public var port = 8080
        /// nil: one is generated and kept; empty: no key is asked for.
        public var apiKey: String?
        /// The host that clients reach this server by, in server-proxied endpoints; nil: the request's Host.
        public var publicHost: String?
        /// Further names by which clients reach this server; `*`: any.
        public var names: [String] = []
        /// Origins of pages that may call it; `*`: any.
        public var allowedOrigins: [String] = []
        /// Seconds from now to the end of a sandbox, when it is made and when it is renewed.
        public var maxSandboxTimeout = RequestLimits.maxLife
        /// Seconds a connection may stay unused. Clients keep theirs for 30.
        public var idleTimeout = 75
        public var maxConnections = 4096

        /// Every name that is configured, one way or another.
        var ownNames: [String] { names + [publicHost, host].compactMap { $0 } }
    }
    /// Where endpoints say which sandbox they are of.
    public enum Routing: String, Sendable {
        case header, uri, wildcard
    }
    public struct Gateway: Sendable {
        public var host = "127.0.0.1"
        public var port = 28888
        /// A second listener, with TLS.
        public var tls: TLSListener?
        /// What endpoints name; nil: where the gateway listens.
        public var address: String?
        public var routing = Routing.header
        /// Unknown sandboxes answer as forbidden ones do. Their ids are random and cannot be guessed, so it is off.
        public var concealsUnknown = false
        /// Seconds a client may take for a request's head, and for each 4 KiB of its body.
        public var headTimeout = 10
        public var bodyTimeout = 60
        /// Run by another process (`sallyport ingress`).
        public var isExternal = false
        /// Where the directory is served to gateways in other processes, beside its unix socket; nil: nowhere else.
        public var directory: DirectoryAddress?
        public var traffic = TrafficLimits.none
        /// Bytes of a request's body; nil: any number.
        public var maxBody: Int?
        /// Sandboxes are told what opened them.
        public var tellsIdentity = true
        /// Browsers get a cookie where they open a page by a signed path.
        public var cookies = false
        public var trustedProxies = TrustedProxies.none
        /// Servers that listen on a sandbox's loopback only are reached, too.
        public var reachesLoopback = true
        /// nil: generated and kept.
        public var keys: KeyRing?
        /// Which version of signed routes endpoints get.
        public var signs = RouteToken.Version.two
        /// Whether signed routes of version 1, a code of 32 bits, open anything.
        public var acceptsVersion1 = true
    }
    /// The program that makes containers.
    public enum OCIRuntime: String, Sendable, CaseIterable {
        case crun, runc
    }
    public struct Local: Sendable {
        public var stateDirectory = "/var/lib/sallyport"
        public var runDirectory = "/run/sallyport"
        /// nil: looked for beside the program.
        public var execd: String?
        public var addressPool = CIDRBlock("10.200.0.0/16")!
        public var addressPoolV6 = CIDRBlock("fd5a:1179::/64")!
        public var tag = "sp"
        public var disk = DiskConfiguration()
        /// The folder that `sallyport/base:latest` is; nil: in the state directory.
        public var baseImage: String?
        /// Registries (host:port) that are spoken to without TLS.
        public var insecureRegistries: Set<String> = []
        /// Bytes of an output's line that wait for its break before a part of it is sent; nil: execd's default.
        public var maxOutputLine: Int?
        public var userNamespaces = UserNamespaceSettings.default
        /// Users of this machine whose programs may connect to sandboxes; nil: all.
        public var reachableBy: Set<UInt32>? = [0]
        /// The registry of names that name none; nil: such names are refused.
        public var unqualifiedRegistry: String?
        /// nil: crun where it is installed, else runc.
        public var ociRuntime: OCIRuntime?
    }
    public struct Egress: Sendable {
        /// nil: those of /etc/resolv.conf.
        public var upstreams: [UpstreamAddress]?
        public var internalZones: [DomainName] = []
        public var internalRanges = AnswerFilter.privateRanges
        /// How names are resolved, but for the upstreams.
        public var dns = DNSConfiguration(upstreams: [])
        /// Run by another process (`sallyport egress`).
        public var isExternal = false
        /// Folder of the presets; nil: looked for beside the program.
        public var presets: String?
        public var budgets = EgressBudgets()
        /// Whether the number of connections is a sandbox's share of the machine's (`ConnectionShare`).
        public var sharesConnections = true
        /// Port 853 is closed in every sandbox.
        public var blocksDNSOverTLS = false
        /// Targets whose port 443 is closed in every sandbox; `known` stands for the list that comes with the program.
        public var blockedResolvers: [String] = []
        /// A file for every decision; nil for none.
        public var auditLog: String?
        /// Bytes after which it is put aside; 0 for never.
        public var auditLogLimit = 64 << 20
        /// Hears of denied names.
        public var denyWebhook: HTTPEndpoint?
        /// nil in mode `dns+nft`.
        public var flowCheck: FlowCheckSettings?
        /// Where `sallyport egress` serves its metrics; nil: on the administrative socket alone.
        public var metricsAddress: SidecarAddress?
    }

    /// Access prolongs sandboxes that ask for it when they are made.
    public struct Renewal: Sendable {
        public var isEnabled = false
        /// Seconds between two renewals of one sandbox.
        public var interval = 60
        /// Where gateways in other processes say which sandboxes are used.
        public struct Redis: Sendable {
            public var address: RedisAddress
            public var queue = RenewIntent.defaultQueue
            /// Connections that wait for something to come.
            public var workers = 8
            /// What a gateway lets the list hold; 0: any number.
            public var queueLimit = 0
        }
        /// nil: accesses are heard of in this process only.
        public var redis: Redis?
    }

    /// Export of metrics over OTLP.
    public struct Telemetry: Sendable {
        public var isEnabled = false
        /// nil: that of OTEL_EXPORTER_OTLP_METRICS_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT.
        public var endpoint: String?
        public var service = "opensandbox-server"
        /// Milliseconds.
        public var interval = 60_000
    }

    public var server = Server()
    public var telemetry = Telemetry()
    public var renewal = Renewal()
    public var gateway = Gateway()
    public var local = Local()
    public var egress = Egress()
    public var logLevel = Logger.Level.info
    /// nil: in the state directory.
    public var storePath: String?

    public init() {}

    public var database: String { storePath ?? local.stateDirectory + "/sallyport.db" }
    var secretsFolder: String { local.stateDirectory + "/secrets" }
    /// Of network namespaces.
    var namespaceDirectory: String { local.runDirectory + "/netns" }
    var policySocket: String { local.runDirectory + "/policy.sock" }
    /// Which one-time routes the gateway has seen.
    var spentTokensFile: String { local.stateDirectory + "/one-time-routes" }
    public var directorySocket: String { local.runDirectory + "/directory.sock" }
    var egressAdminSocket: String { local.runDirectory + "/egress-admin.sock" }
    var baseImage: String { local.baseImage ?? local.stateDirectory + "/base" }
}

/// What is wrong with the configuration, and where.
public struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}
