import Addresses
import DNSFilter
import Egress
import FlowCheck
import HTTPClient
import HTTPServer
import Ingress
import Logging
import NetworkPolicy
import Observability
import Redis
import Runtimes
import SecureAccess
import ServerTLS

/// All settings of a server, with their defaults (docs/server.md#configuration).
package struct Settings: Sendable {
    package struct Server: Sendable {
        /// By default only this machine can connect. The listener with TLS follows where it has the same address: an option
        /// that closes one closes both.
        package var host = "127.0.0.1" { didSet { tls?.follow(host, from: oldValue) } }
        package var port = 8080
        /// A second listener, with TLS.
        package var tls: TLSListener?
        /// nil: one is generated and stored; empty: no key is needed.
        package var apiKey: String?
        /// The host in server-proxied endpoints; nil for the request's Host.
        package var publicHost: String?
        /// Further names of this server; `*` for any.
        package var names: [String] = []
        /// Origins of pages that may call it; `*` for any.
        package var allowedOrigins: [String] = []
        /// The most seconds from now to a sandbox's end, at creation and at renewal.
        package var maxSandboxTimeout = RequestLimits.maxLife
        /// Seconds that a connection may stay idle. Clients keep theirs for 30.
        package var idleTimeout = 75
        /// Bytes a second that a request's body has to come with.
        package var bodyRate = 512
        /// Seconds that a client may leave an answer unread.
        package var stallTimeout = 60
        package var maxConnections = 4096
        /// Whether the API's documents are served to browsers.
        package var docs = true
        /// Their folder; nil: searched beside the program.
        package var pages: String?
        package var creates = CreateLimits()
        /// Seconds that a sandbox which could not be made stays.
        package var failuresKept = 3600
        /// A file for every request that changes something; nil for none.
        package var auditLog: String?
        /// Bytes after which it is rotated; 0 for never.
        package var auditLogLimit = 64 << 20
        /// Which requests get a line in the log.
        package var accessLog = AccessLogMode.errors

        /// All configured names of the server.
        var ownNames: [String] { names + [publicHost, host, tls?.host].compactMap { $0 } }
    }
    /// Where the route is in endpoints.
    package enum Routing: String, Sendable, CaseIterable {
        case header, uri, wildcard
    }
    package struct Gateway: Sendable {
        /// The listener with TLS follows, as the server's does.
        package var host = "127.0.0.1" { didSet { tls?.follow(host, from: oldValue) } }
        package var port = 28888
        /// A second listener, with TLS.
        package var tls: TLSListener?
        /// The gateway's address in endpoints; nil for where it listens.
        package var address: String?
        package var routing = Routing.header
        /// Whether unknown sandboxes get the same answer as forbidden ones. Off by default, since ids are random and
        /// cannot be guessed.
        package var concealsUnknown = false
        /// Seconds that a client may take for a request's head, and for each 4 KiB of its body.
        package var headTimeout = 10
        package var bodyTimeout = 60
        /// Whether another process runs it (`sallyport ingress`).
        package var isExternal = false
        /// The user id, and group id of the same number, that the gateway of `sallyport serve` runs as. The default is
        /// outside the ranges that Debian and systemd give to users and services.
        package var user: UInt32 = 60911
        /// A further address where gateways in other processes can follow the directory; nil for only the unix socket.
        package var directory: DirectoryAddress?
        package var traffic = TrafficLimits.none
        /// Which requests get a line in the log.
        package var accessLog = AccessLogMode.errors
        /// Whether sandboxes are told what gave access.
        package var tellsIdentity = true
        /// Whether browsers that open a page by a signed path get a cookie.
        package var cookies = false
        package var trustedProxies = TrustedProxies.none
        /// Whether servers that listen only on a sandbox's loopback are reached.
        package var reachesLoopback = true
        /// nil: generated and stored.
        package var keys: KeyRing?
        /// The version of signed routes in endpoints.
        package var signs = RouteToken.Version.two
        /// Whether signed routes of version 1 (32 bits) are accepted.
        package var acceptsVersion1 = true
    }
    /// The network of sandboxes.
    package enum NetworkMode: String, Sendable, CaseIterable {
        /// One of its own for each, with a routed link.
        case routed
        /// This machine's.
        case host
    }
    /// The OCI runtime.
    package enum OCIRuntime: String, Sendable, CaseIterable {
        case crun, runc
    }
    package struct Local: Sendable {
        package var stateDirectory = "/var/lib/sallyport"
        package var runDirectory = "/run/sallyport"
        /// nil: searched beside the program.
        package var execd: String?
        package var addressPool = CIDRBlock("10.200.0.0/16")!
        package var addressPoolV6 = CIDRBlock("fd5a:1179::/64")!
        package var tag = "sp"
        package var network = NetworkMode.routed
        package var disk = DiskConfiguration()
        /// The folder of `sallyport/base:latest`; nil for the one in the state directory.
        package var baseImage: String?
        /// The same of `sallyport/code:latest`.
        package var codeImage: String?
        /// Registries (host:port) without TLS.
        package var insecureRegistries: Set<String> = []
        /// The longest line of output, in bytes, that is sent in one piece; nil for execd's default.
        package var maxOutputLine: Int?
        package var userNamespaces = UserNamespaceSettings.default
        /// Users of this machine whose programs may connect to sandboxes; nil for all.
        package var reachableBy: Set<UInt32>? = [0]
        /// The registry of image names without one; nil to refuse such names.
        package var unqualifiedRegistry: String?
        /// nil: crun if installed, else runc.
        package var ociRuntime: OCIRuntime?
        /// nil: `ociRuntime`.
        package var gVisor: GVisorConfiguration?
        /// nil: none are published.
        package var ports: Ports?
    }
    package struct Egress: Sendable {
        /// nil for those of /etc/resolv.conf.
        package var upstreams: [UpstreamAddress]?
        package var internalZones: [DomainName] = []
        package var internalRanges = AnswerFilter.privateRanges
        /// DNS settings other than the upstreams.
        package var dns = DNSConfiguration(upstreams: [])
        /// Where the guards of containers are.
        package var placement = GuardPlacement.node
        /// What a guard beside a container is made of.
        package var image: String?
        /// Seconds that such a guard may take.
        package var readiness = 30
        /// Whether another process runs the guard (`sallyport guard`).
        package var isExternal = false
        /// Folder of the presets; nil: searched beside the program.
        package var presets: String?
        /// Folder of the operator's own, beside them; nil for none.
        package var ownPresets: String?
        /// The policy of sandboxes that are created without one; nil: they reach everything outside.
        package var defaultPolicy: String?
        /// Folder of the operator's lists; nil for none.
        package var rulesFolder: String?
        package var budgets = EgressBudgets()
        /// Whether the limit of connections is the default share of the machine's (`ConnectionShare`).
        package var sharesConnections = true
        /// Whether port 853 is closed in every sandbox.
        package var blocksDNSOverTLS = false
        /// Targets whose port 443 is closed in every sandbox; `known` stands for the list that comes with Sallyport.
        package var blockedResolvers: [String] = []
        /// A file for every decision; nil for none.
        package var auditLog: String?
        /// Bytes after which it is rotated; 0 for never.
        package var auditLogLimit = 64 << 20
        /// Receives notices of denied names.
        package var denyWebhook: HTTPEndpoint?
        /// nil in mode `dns+nft`.
        package var flowCheck: FlowCheckSettings?
        /// Where `sallyport guard` serves its metrics; nil for only the administrative socket.
        package var metricsAddress: ListenAddress?
    }

    /// Where the guards of containers are: this machine's one guard, or one beside each.
    package enum GuardPlacement: String, Sendable, CaseIterable {
        case node, sidecar
    }

    /// Renewal on access, for sandboxes that asked for it when they were made.
    package struct Renewal: Sendable {
        package var isEnabled = false
        /// Seconds between two renewals of one sandbox.
        package var interval = 60
        /// The Redis list through which gateways in other processes report accesses.
        package struct Redis: Sendable {
            package var address: RedisAddress
            package var queue = RenewIntent.defaultQueue
            /// How many connections wait for reports.
            package var workers = 8
            /// The most entries that a gateway leaves in the list; 0 for no limit.
            package var queueLimit = 0
        }
        /// nil: only accesses through this process count.
        package var redis: Redis?
    }

    /// Where the log goes, and how its lines look.
    package struct Log: Sendable {
        package var format = LogFormat.text
        /// nil for standard error.
        package var file: LogFileSettings?
    }

    /// Export of metrics over OTLP.
    package struct Telemetry: Sendable {
        package var isEnabled = false
        /// nil for OTEL_EXPORTER_OTLP_METRICS_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT.
        package var endpoint: String?
        package var service = "opensandbox-server"
        /// Milliseconds.
        package var interval = 60_000
        /// Whether requests are traced, and which.
        package var traces = false
        package var tracesRatio = 1.0
        package var tracesFollowParent = true
    }

    package var server = Server()
    package var telemetry = Telemetry()
    package var renewal = Renewal()
    package var gateway = Gateway()
    package var runtime = RuntimeKind.local
    package var local = Local()
    package var docker = Docker()
    /// Those of the environment that say where a container engine is.
    var engineVariables: [String: String] = [:]
    /// Pools that there are from the start, beside those that requests make.
    package var pools: [Pool] = []
    package var storage = StorageConfiguration()
    /// What `local.gVisor` is where it is asked for.
    var secureRuntime = GVisorConfiguration()
    package var egress = Egress()
    /// The file of tenants; nil where there are none, "" for the contract's usual place.
    package var tenants: String?
    /// Who is asked for tenants; nil where nobody is.
    var tenantProvider: TenantProvider.Settings?
    package var logLevel = Logger.Level.info
    package var log = Log()
    /// nil for one in the state directory.
    package var storePath: String?

    /// The file that these were read from; nil for none.
    package var file: String?

    package init() {}

    /// What no sandbox may be given, wherever it lies: files that hold secrets or decide what the server does.
    package var ownFiles: [String] {
        let listeners: [TLSListener] = [server.tls, gateway.tls].compactMap { $0 }
        let certificates: [String] = listeners.flatMap(\.certificates).flatMap { [$0.certificate, $0.key] }
        let optional: [String?] = [
            file, server.auditLog, server.pages, docker.certificates, local.execd, local.baseImage, local.codeImage,
            egress.auditLog,
            egress.presets, egress.ownPresets, egress.defaultPolicy, egress.rulesFolder, log.file?.path, tenants,
        ]
        let always = [local.stateDirectory, local.runDirectory, storage.bucketRoot, database]
        return always + certificates + optional.compactMap { $0 }
    }

    package var database: String { storePath ?? local.stateDirectory + "/sallyport.db" }
    /// Holds the name with which this server labels what it creates.
    var ownerFile: String { local.stateDirectory + "/owner" }
    package var secretsFolder: String { local.stateDirectory + "/secrets" }
    /// The guard's state.
    var guardFolder: String { local.stateDirectory + "/egress" }
    package var sandboxesFolder: String { local.stateDirectory + "/sandboxes" }
    package var snapshotsFolder: String { local.stateDirectory + "/snapshots" }
    package var volumesFolder: String { local.stateDirectory + "/volumes" }
    /// The folder of network namespaces.
    var namespaceDirectory: String { local.runDirectory + "/netns" }
    var policySocket: String { local.runDirectory + "/policy.sock" }
    /// The gateway's state.
    var gatewayFolder: String { local.stateDirectory + "/gateway" }
    /// The one-time routes that were used.
    package var spentTokensFile: String { gatewayFolder + "/one-time-routes" }
    /// Through this socket the gateway asks the server for connections into sandboxes.
    var linkSocket: String { local.runDirectory + "/link.sock" }
    /// Serves the gateway's metrics.
    var gatewayMetricsSocket: String { local.runDirectory + "/gateway-metrics.sock" }
    package var directorySocket: String { local.runDirectory + "/directory.sock" }
    var egressAdminSocket: String { local.runDirectory + "/egress-admin.sock" }
    var baseImage: String { local.baseImage ?? local.stateDirectory + "/base" }
    var codeImage: String { local.codeImage ?? local.stateDirectory + "/code" }
}
