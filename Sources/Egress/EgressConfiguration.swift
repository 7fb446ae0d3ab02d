import Addresses
import DNSFilter
import FlowCheck
import NetworkPolicy
import Tracing

/// The settings of a node.
package struct EgressConfiguration: Sendable {
    /// Folder of the policy files, mode 0700; created if missing.
    package var stateDirectory: String
    /// Unix socket of the policy API (mode 0600), to which the gateway relays port 18080 of a sandbox.
    package var socketPath: String
    /// Unix socket of the administrative API (mode 0600); never relayed to. `nil` for no administrative API.
    package var adminSocketPath: String?
    /// Sockets that listen already, in the place of those at these paths and at `metricsAddress`.
    package var openListeners = OpenListeners()
    package var dns: DNSConfiguration
    /// Zones whose names may have private addresses.
    package var internalZones: [DomainName]
    /// Which private addresses: those of `AnswerFilter.privateRanges`, or some of them.
    package var internalRanges = AnswerFilter.privateRanges
    /// Denied whatever a policy says: metadata services, link-local, the host's own addresses.
    package var alwaysDeny: [CIDRBlock]
    /// The most rules in one policy.
    package var maxRules: Int
    package static let usualMaxRules = 4096
    /// The presets that policies may name.
    package var presets: Presets
    /// The largest request body of the policy API, in bytes.
    package var maxBodyBytes: Int
    /// The most learned addresses of one sandbox.
    package var maxLearnedAddresses: Int
    /// The shortest time, in seconds, for which a learned address is open, so that a connection can follow the look-up.
    package var minimumLifetime: UInt32
    /// Seconds for which a learned address stays open beyond its record, for clients that round up.
    package var lifetimeGrace: UInt32
    /// The budgets of each sandbox.
    package var budgets: EgressBudgets
    /// Other resolvers that are blocked in every sandbox, before its policy applies.
    package var resolverBlock = ResolverBlock()
    /// The operator's lists, in front of every policy; nil for none.
    package var lists: OperatorLists?
    /// Receives every decision. Its creator closes it.
    package var auditLog: AuditLog?
    /// Receives denied names. Its creator closes it.
    package var denyWebhook: DenyWebhook?
    /// Checks which name flows to learned addresses state (mode `dns+nft+sni`); `nil` in mode `dns+nft`.
    package var flowCheck: FlowCheckSettings?
    /// The body of `GET /metrics` in Prometheus text format, at the administrative API and at `metricsAddress`.
    package var metrics: (@Sendable () -> String)?
    /// Begins a span for each request of the two APIs; `nil` where nothing is traced.
    package var tracer: Tracer?
    /// An address where metrics are served without authorisation; `nil` for none.
    package var metricsAddress: ListenAddress?

    /// Descriptors of sockets that somebody else keeps open.
    package struct OpenListeners: Hashable, Sendable {
        package var policy: CInt?
        package var admin: CInt?
        package var metrics: CInt?
        package init() {}
    }

    package init(
        stateDirectory: String, socketPath: String, adminSocketPath: String? = nil, dns: DNSConfiguration,
        internalZones: [DomainName] = [], alwaysDeny: [CIDRBlock] = EgressConfiguration.neverOpen,
        maxRules: Int = EgressConfiguration.usualMaxRules, presets: Presets = .none, maxBodyBytes: Int = 1 << 20,
        maxLearnedAddresses: Int = 65536,
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
    package static let neverOpen: [CIDRBlock] =
        ["169.254.0.0/16", "fe80::/10"].compactMap { CIDRBlock($0) } + MetadataService.blocks
}
