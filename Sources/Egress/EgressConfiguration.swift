import Addresses
import DNSFilter
import FlowCheck
import NetworkPolicy

/// The settings of a node.
public struct EgressConfiguration: Sendable {
    /// Folder of the policy files, mode 0700; created if missing.
    public var stateDirectory: String
    /// Unix socket of the policy API (mode 0600), to which the gateway relays port 18080 of a sandbox.
    public var socketPath: String
    /// Unix socket of the administrative API (mode 0600); never relayed to. `nil` for no administrative API.
    public var adminSocketPath: String?
    /// Sockets that listen already, in the place of those at these paths and at `metricsAddress`.
    public var openListeners = OpenListeners()
    public var dns: DNSConfiguration
    /// Zones whose names may have private addresses.
    public var internalZones: [DomainName]
    /// Which private addresses: those of `AnswerFilter.privateRanges`, or some of them.
    public var internalRanges = AnswerFilter.privateRanges
    /// Denied whatever a policy says: metadata services, link-local, the host's own addresses.
    public var alwaysDeny: [CIDRBlock]
    /// The most rules in one policy.
    public var maxRules: Int
    /// The presets that policies may name.
    public var presets: Presets
    /// The largest request body of the policy API, in bytes.
    public var maxBodyBytes: Int
    /// The most learned addresses of one sandbox.
    public var maxLearnedAddresses: Int
    /// The shortest time, in seconds, for which a learned address is open, so that a connection can follow the look-up.
    public var minimumLifetime: UInt32
    /// Seconds for which a learned address stays open beyond its record, for clients that round up.
    public var lifetimeGrace: UInt32
    /// The budgets of each sandbox.
    public var budgets: EgressBudgets
    /// Other resolvers that are blocked in every sandbox, before its policy applies.
    public var resolverBlock = ResolverBlock()
    /// Receives every decision. Its creator closes it.
    public var auditLog: AuditLog?
    /// Receives denied names. Its creator closes it.
    public var denyWebhook: DenyWebhook?
    /// Checks which name flows to learned addresses state (mode `dns+nft+sni`); `nil` in mode `dns+nft`.
    public var flowCheck: FlowCheckSettings?
    /// The body of `GET /metrics` in Prometheus text format, at the administrative API and at `metricsAddress`.
    public var metrics: (@Sendable () -> String)?
    /// An address where metrics are served without authorisation; `nil` for none.
    public var metricsAddress: SidecarAddress?

    /// Descriptors of sockets that somebody else keeps open.
    public struct OpenListeners: Hashable, Sendable {
        public var policy: CInt?
        public var admin: CInt?
        public var metrics: CInt?
        public init() {}
    }

    public init(
        stateDirectory: String, socketPath: String, adminSocketPath: String? = nil, dns: DNSConfiguration,
        internalZones: [DomainName] = [], alwaysDeny: [CIDRBlock] = EgressConfiguration.neverOpen,
        maxRules: Int = 4096, presets: Presets = .none, maxBodyBytes: Int = 1 << 20, maxLearnedAddresses: Int = 65536,
        minimumLifetime: UInt32 = 60, lifetimeGrace: UInt32 = 30, budgets: EgressBudgets = EgressBudgets(),
        flowCheck: FlowCheckSettings? = nil
    ) {
        self.stateDirectory = stateDirectory
        self.socketPath = socketPath
        self.adminSocketPath = adminSocketPath
        self.dns = dns
        self.internalZones = internalZones
        self.alwaysDeny = alwaysDeny
        self.maxRules = maxRules
        self.presets = presets
        self.maxBodyBytes = maxBodyBytes
        self.maxLearnedAddresses = maxLearnedAddresses
        self.minimumLifetime = minimumLifetime
        self.lifetimeGrace = lifetimeGrace
        self.budgets = budgets
        self.flowCheck = flowCheck
    }

    /// Link-local addresses of both families, and cloud metadata services such as 169.254.169.254.
    public static let neverOpen: [CIDRBlock] =
        ["169.254.0.0/16", "fe80::/10"].compactMap { CIDRBlock($0) } + MetadataService.blocks
}
