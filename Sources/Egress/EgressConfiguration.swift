import DNSFilter
import NetworkPolicy

/// Settings of one node's guard.
public struct EgressConfiguration: Sendable {
    /// Folder of the policy files, mode 0700; made when missing.
    public var stateDirectory: String
    /// Unix socket of the policy API (mode 0600), to which the gateway relays port 18080 of a sandbox.
    public var socketPath: String
    /// Unix socket of the administrative API (mode 0600); never relayed to. `nil`: no administrative API is served.
    public var adminSocketPath: String?
    public var dns: DNSConfiguration
    /// Zones whose names may have private addresses.
    public var internalZones: [DomainName]
    /// Which private addresses: those of `AnswerFilter.privateRanges`, or some of them.
    public var internalRanges = AnswerFilter.privateRanges
    /// Refused whatever a policy says: metadata services, link-local, the host's own addresses.
    public var alwaysDeny: [CIDRBlock]
    /// Most rules in one policy.
    public var maxRules: Int
    /// What `{"preset":"pypi"}` stands for in a request.
    public var presets: Presets
    /// Most bytes of one request body of the policy API.
    public var maxBodyBytes: Int
    /// Most addresses learned at one time for one sandbox.
    public var maxLearnedAddresses: Int
    /// Shortest time, in seconds, for which a learned address is open: a connection follows a look-up within it.
    public var minimumLifetime: UInt32
    /// Seconds for which a learned address outlives its record, for clients that round up.
    public var lifetimeGrace: UInt32
    /// What each sandbox may use.
    public var budgets: EgressBudgets
    /// Roads to other resolvers that are closed in every sandbox, before its policy is asked.
    public var resolverBlock = ResolverBlock()
    /// Where every decision is written down; closed by who made it.
    public var auditLog: AuditLog?
    /// Hears of denied names; closed by who made it.
    public var denyWebhook: DenyWebhook?
    /// Checks what flows to learned addresses name (mode `dns+nft+sni`); `nil` for mode `dns+nft`.
    public var flowCheck: FlowCheckSettings?
    /// What `GET /metrics` answers, in Prometheus' text format: at the administrative API, and at `metricsAddress`.
    public var metrics: (@Sendable () -> String)?
    /// Where metrics are served to whoever asks; `nil`: nowhere.
    public var metricsAddress: SidecarAddress?

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

    /// Link-local addresses of both families, and where clouds put credentials, 169.254.169.254 among them.
    public static let neverOpen: [CIDRBlock] =
        ["169.254.0.0/16", "fe80::/10"].compactMap { CIDRBlock($0) } + MetadataService.blocks
}
