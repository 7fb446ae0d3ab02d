import Addresses
import DNSFilter
import Egress
import FlowCheck
import HTTPClient
import Ingress
import Logging
import NetworkPolicy
import Redis
import Runtimes
import SecureAccess
import ServerTLS

/// All settings of a server, with their defaults (docs/server.md#configuration).
public struct Settings: Sendable {
    public struct Server: Sendable {
        /// By default only this machine can connect.
        public var host = "127.0.0.1"
        public var port = 8080
        /// A second listener, with TLS.
        public var tls: TLSListener?
        /// nil: one is generated and stored; empty: no key is needed.
        public var apiKey: String?
        /// The host in server-proxied endpoints; nil for the request's Host.
        public var publicHost: String?
        /// Further names of this server; `*` for any.
        public var names: [String] = []
        /// Origins of pages that may call it; `*` for any.
        public var allowedOrigins: [String] = []
        /// The most seconds from now to a sandbox's end, at creation and at renewal.
        public var maxSandboxTimeout = RequestLimits.maxLife
        /// Seconds that a connection may stay idle. Clients keep theirs for 30.
        public var idleTimeout = 75
        public var maxConnections = 4096

        /// All configured names of the server.
        var ownNames: [String] { names + [publicHost, host, tls?.host].compactMap { $0 } }
    }
    /// Where the route is in endpoints.
    public enum Routing: String, Sendable, CaseIterable {
        case header, uri, wildcard
    }
    public struct Gateway: Sendable {
        public var host = "127.0.0.1"
        public var port = 28888
        /// A second listener, with TLS.
        public var tls: TLSListener?
        /// The gateway's address in endpoints; nil for where it listens.
        public var address: String?
        public var routing = Routing.header
        /// Whether unknown sandboxes get the same answer as forbidden ones. Off by default, since ids are random and
        /// cannot be guessed.
        public var concealsUnknown = false
        /// Seconds that a client may take for a request's head, and for each 4 KiB of its body.
        public var headTimeout = 10
        public var bodyTimeout = 60
        /// Whether another process runs it (`sallyport ingress`).
        public var isExternal = false
        /// The user id, and group id of the same number, that the gateway of `sallyport serve` runs as. The default is
        /// outside the ranges that Debian and systemd give to users and services.
        public var user: UInt32 = 60911
        /// A further address where gateways in other processes can follow the directory; nil for only the unix socket.
        public var directory: DirectoryAddress?
        public var traffic = TrafficLimits.none
        /// The largest request body in bytes; nil for no limit.
        public var maxBody: Int?
        /// Whether sandboxes are told what gave access.
        public var tellsIdentity = true
        /// Whether browsers that open a page by a signed path get a cookie.
        public var cookies = false
        public var trustedProxies = TrustedProxies.none
        /// Whether servers that listen only on a sandbox's loopback are reached.
        public var reachesLoopback = true
        /// nil: generated and stored.
        public var keys: KeyRing?
        /// The version of signed routes in endpoints.
        public var signs = RouteToken.Version.two
        /// Whether signed routes of version 1 (32 bits) are accepted.
        public var acceptsVersion1 = true
    }
    /// The OCI runtime.
    public enum OCIRuntime: String, Sendable, CaseIterable {
        case crun, runc
    }
    public struct Local: Sendable {
        public var stateDirectory = "/var/lib/sallyport"
        public var runDirectory = "/run/sallyport"
        /// nil: searched beside the program.
        public var execd: String?
        public var addressPool = CIDRBlock("10.200.0.0/16")!
        public var addressPoolV6 = CIDRBlock("fd5a:1179::/64")!
        public var tag = "sp"
        public var disk = DiskConfiguration()
        /// The folder of `sallyport/base:latest`; nil for the one in the state directory.
        public var baseImage: String?
        /// Registries (host:port) without TLS.
        public var insecureRegistries: Set<String> = []
        /// The longest line of output, in bytes, that is sent in one piece; nil for execd's default.
        public var maxOutputLine: Int?
        public var userNamespaces = UserNamespaceSettings.default
        /// Users of this machine whose programs may connect to sandboxes; nil for all.
        public var reachableBy: Set<UInt32>? = [0]
        /// The registry of image names without one; nil to refuse such names.
        public var unqualifiedRegistry: String?
        /// nil: crun if installed, else runc.
        public var ociRuntime: OCIRuntime?
    }
    public struct Egress: Sendable {
        /// nil for those of /etc/resolv.conf.
        public var upstreams: [UpstreamAddress]?
        public var internalZones: [DomainName] = []
        public var internalRanges = AnswerFilter.privateRanges
        /// DNS settings other than the upstreams.
        public var dns = DNSConfiguration(upstreams: [])
        /// Whether another process runs the guard (`sallyport guard`).
        public var isExternal = false
        /// Folder of the presets; nil: searched beside the program.
        public var presets: String?
        public var budgets = EgressBudgets()
        /// Whether the limit of connections is the default share of the machine's (`ConnectionShare`).
        public var sharesConnections = true
        /// Whether port 853 is closed in every sandbox.
        public var blocksDNSOverTLS = false
        /// Targets whose port 443 is closed in every sandbox; `known` stands for the list that comes with Sallyport.
        public var blockedResolvers: [String] = []
        /// A file for every decision; nil for none.
        public var auditLog: String?
        /// Bytes after which it is rotated; 0 for never.
        public var auditLogLimit = 64 << 20
        /// Receives notices of denied names.
        public var denyWebhook: HTTPEndpoint?
        /// nil in mode `dns+nft`.
        public var flowCheck: FlowCheckSettings?
        /// Where `sallyport guard` serves its metrics; nil for only the administrative socket.
        public var metricsAddress: SidecarAddress?
    }

    /// Renewal on access, for sandboxes that asked for it when they were made.
    public struct Renewal: Sendable {
        public var isEnabled = false
        /// Seconds between two renewals of one sandbox.
        public var interval = 60
        /// The Redis list through which gateways in other processes report accesses.
        public struct Redis: Sendable {
            public var address: RedisAddress
            public var queue = RenewIntent.defaultQueue
            /// How many connections wait for reports.
            public var workers = 8
            /// The most entries that a gateway leaves in the list; 0 for no limit.
            public var queueLimit = 0
        }
        /// nil: only accesses through this process count.
        public var redis: Redis?
    }

    /// Export of metrics over OTLP.
    public struct Telemetry: Sendable {
        public var isEnabled = false
        /// nil for OTEL_EXPORTER_OTLP_METRICS_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT.
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
    /// nil for one in the state directory.
    public var storePath: String?

    public init() {}

    public var database: String { storePath ?? local.stateDirectory + "/sallyport.db" }
    /// Holds the name with which this server labels what it creates.
    var ownerFile: String { local.stateDirectory + "/owner" }
    var secretsFolder: String { local.stateDirectory + "/secrets" }
    /// The guard's state.
    var guardFolder: String { local.stateDirectory + "/egress" }
    /// The folder of network namespaces.
    var namespaceDirectory: String { local.runDirectory + "/netns" }
    var policySocket: String { local.runDirectory + "/policy.sock" }
    /// The gateway's state.
    var gatewayFolder: String { local.stateDirectory + "/gateway" }
    /// The one-time routes that were used.
    var spentTokensFile: String { gatewayFolder + "/one-time-routes" }
    /// Through this socket the gateway asks the server for connections into sandboxes.
    var linkSocket: String { local.runDirectory + "/link.sock" }
    /// Serves the gateway's metrics.
    var gatewayMetricsSocket: String { local.runDirectory + "/gateway-metrics.sock" }
    public var directorySocket: String { local.runDirectory + "/directory.sock" }
    var egressAdminSocket: String { local.runDirectory + "/egress-admin.sock" }
    var baseImage: String { local.baseImage ?? local.stateDirectory + "/base" }
}

/// A problem with the configuration, and where it is.
public struct ConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String
    /// The process that holds the lock, if that is the problem.
    let holder: Int?

    public init(_ description: String) { self.init(description, holder: nil) }

    init(_ description: String, holder: Int?) { (self.description, self.holder) = (description, holder) }
}
