import DNSFilter
import Egress
import FlowCheck
import Glibc
import HTTPClient
import Logging
import Netfilter
import NetworkPolicy
import Synchronization
import System

/// A namespace where nothing but loopback passes: the first step of a sidecar.
package struct ClosedNamespace: Sendable {
    /// Kept open, because closing a socket that changed nf_tables waits for the kernel's clean-up: 10 ms of a start
    /// (measured).
    let tables: NetfilterSocket
}

/// Guards the namespace that it runs in, which is one sandbox's. The sandbox can reach it only for DNS.
///
/// Call `close()`, `init` (enforcing when it returns) and `serve()`, in this order. When the process ends, for whatever
/// reason, the kernel's rules stay.
package final class Sidecar: EgressController {
    package let configuration: SidecarConfiguration
    let logger: Logger
    package let lists: OperatorLists
    private let guarded: GuardedNamespace
    private let services: GuardServices
    private let tables: NetfilterSocket
    private let devices = Mutex<[String]>([])
    private let outlets: (audit: AuditLog?, webhook: DenyWebhook?)
    /// For the program's own requests.
    package let client: HTTPClient
    /// Of the policy API's connections.
    let apiMark = UInt32.random(in: 1 ... .max)

    /// Drops everything but loopback until a policy is in force. Call it before anything else.
    /// - Throws: `EgressError.guardedTwice` where a sidecar runs already; the first one then continues unchanged.
    package static func close() throws(EgressError) -> ClosedNamespace {
        let tables = try EgressError.ofKernel { () throws(NetfilterError) in try NetfilterSocket() }
        do throws(NetfilterError) {
            try tables.commit(SidecarRuleset.close(claiming: true))
        } catch {
            switch error.code {
            // As without the capability, which would hide the table, too.
            case EPERM where (try? tables.hasTable(SidecarRuleset.claim)) == true: throw .guardedTwice
            // Before Linux 5.12 tables have no owners.
            case EOPNOTSUPP, EINVAL:
                try EgressError.ofKernel { () throws(NetfilterError) in try tables.commit(SidecarRuleset.close()) }
            default: throw .kernel("\(error)")
            }
        }
        return ClosedNamespace(tables: tables)
    }

    /// Reads policy and lists, opens the filter and puts the rules into the kernel.
    /// - Throws: `EgressError`; then everything stays as `close()` left it.
    package init(_ closed: ClosedNamespace, configuration: SidecarConfiguration, logger: Logger) throws {
        self.configuration = configuration
        let lists = try OperatorLists(folder: configuration.rulesFolder, mustExist: configuration.needsRulesFolder)
        self.lists = lists
        let logger = logger.skipping(lists)
        self.logger = logger

        let policy = try Self.firstPolicy(configuration)
        var random = SystemRandomNumberGenerator()
        let mark = SocketMark.random()
        let shared = SharedNamespace(filterMark: mark, exemptNameservers: configuration.exemptNameservers)
        var dnsConfiguration = configuration.dns
        dnsConfiguration.upstreamMark = mark

        var common = EgressConfiguration(
            stateDirectory: "", socketPath: "", dns: dnsConfiguration, internalZones: configuration.internalZones,
            maxRules: configuration.maxRules, budgets: configuration.budgets, flowCheck: configuration.flowCheck)
        common.internalRanges = configuration.internalRanges
        common.resolverBlock = configuration.resolverBlock
        let client = OutboundClient(
            mark: mark, upstreams: dnsConfiguration.upstreams, search: configuration.outlets.searchDomains
        ).client
        self.client = client
        common.auditLog = configuration.outlets.auditLog.map {
            AuditLog(path: $0, limit: configuration.outlets.auditLogLimit, logger: logger)
        }
        common.denyWebhook = configuration.outlets.denyWebhook.map {
            DenyWebhook($0, client: client, logger: logger)
        }
        outlets = (common.auditLog, common.denyWebhook)
        var settings = GuardSettings(common)
        settings.judgesAddresses = configuration.mode != .names
        settings.reserved = ReservedTraffic(
            apiPort: configuration.address.port, answersInside: configuration.answersInside,
            upstreams: Set(dnsConfiguration.upstreams.map(\.endpoint)), resolver: DockerResolver.address)
        services = try GuardServices(dns: dnsConfiguration, flowCheck: configuration.flowCheck, mark: mark)
        tables = closed.tables
        let beside = RulesBeside()
        var place = GuardPlace(tables: closed.tables)
        place.shared = shared
        place.upstreams = Set(dnsConfiguration.upstreams.map(\.endpoint))
        place.inbound = configuration.inbound
        place.refusesPacketSockets = false
        guarded = try GuardedNamespace(
            GuardRecord(
                id: configuration.sandboxID, namespacePath: "/proc/self/ns/net",
                token: configuration.token ?? PolicyToken.generate(using: &random), policy: policy),
            lists: lists, in: place, settings: settings, services: services, logger: logger
        ) { SidecarKernel($0, shared: shared, mode: configuration.mode, beside: beside) }
        try services.start()
        guardDevices()
        let ruleset = SidecarRuleset(
            apiPort: configuration.address.port, upstreams: dnsConfiguration.upstreams, shared: shared,
            neighbours: guarded.neighbours, answersInside: configuration.answersInside,
            reporting: guarded.guardian.reporting, apiMark: apiMark)
        try EgressError.ofKernel { () throws(NetfilterError) in try tables.commit(ruleset.open()) }
        beside.set { [weak self] () throws(EgressError) in try self?.restoreBeside(ruleset) }
    }

    /// Restores the tables besides the policy's, after other programs have changed something in the namespace.
    private func restoreBeside(_ ruleset: SidecarRuleset) throws(EgressError) {
        devices.withLock { $0 = [] }
        guardDevices()
        try guardian.replacing(SidecarRuleset.table) { _ throws(EgressError) in
            try EgressError.ofKernel { () throws(NetfilterError) in try tables.commit(ruleset.open()) }
        }
    }

    var guardian: EgressGuard { guarded.guardian }

    /// Ends the event streams, which never end by themselves.
    func endEvents() { guardian.events.close() }

    /// Stops answering names. The rules stay.
    package func stop() async {
        services.stop()
        outlets.webhook?.close()
        await outlets.audit?.close()
    }

    /// Whether the lists in force are not those that the files have now.
    package var hasStaleLists: Bool { guardian.isBehind(lists) }

    /// The number of rules in force, including the operator's.
    package var ruleCount: Int { guardian.ruleCount }

    // MARK: Files that change

    /// Applies changes of the operator's lists and of the namespace's devices. A list that cannot be read is logged and
    /// changes nothing.
    package func refresh() {
        guardian.restoreOrReport()
        guardDevices()
        guardian.renewOrReport()
        guardian.readMeter()
        guardian.readRefusals()
        lists.refresh(logger)
        guardian.follow(lists)
        guardian.observeFlows()
    }

    /// Blocks packet sockets on every device.
    private func guardDevices() {
        let present = LinkSurroundings.devices()
        guard devices.withLock({ $0 != present }) else { return }
        do throws(EgressError) {
            try guardian.replacing(PacketRules.table) { reporting throws(EgressError) in
                try EgressError.ofKernel { () throws(NetfilterError) in
                    try tables.commit(PacketRules.install(devices: present, reporting: reporting))
                }
            }
        } catch {
            logger.warning(
                "packet sockets are not blocked: the sandbox must not have CAP_NET_RAW", metadata: ["error": "\(error)"]
            )
        }
        devices.withLock { $0 = present }
    }

    // MARK: Changes

    /// As its clients wrote it.
    var policy: Policy { guardian.record.policy }
    var token: String { guardian.token }

    static func firstPolicy(_ configuration: SidecarConfiguration) throws(EgressError) -> Policy {
        guard let path = configuration.policyFile, let bytes = try OperatorFile.read(path) else {
            return configuration.rules
        }
        do throws(PolicyError) {
            let policy = try Policy.decode(json: bytes, presets: configuration.presets)
            if policy.ruleCount <= configuration.maxRules { return policy }
        } catch {
            throw .invalidPolicy("\(path): \(error)")
        }
        throw .invalidPolicy("\(path): it has more than \(configuration.maxRules) rules")
    }
}
