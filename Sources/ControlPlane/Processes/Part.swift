import Egress
import EgressRemote
import HTTPClient
import Observability
import Supervision

/// The three processes that `sallyport serve` is made of, in the order in which they start. They end in the reverse order, so that
/// rules are kept until nobody is let in any more.
package enum Part: String, CaseIterable, Codable, Sendable {
    /// Puts rules into the kernel, answers DNS, checks flows.
    case egress = "guard"
    /// The lifecycle API and the runtime.
    case server
    /// Lets clients reach sandboxes.
    case gateway

    /// Its place on the board.
    var index: Int { Self.allCases.firstIndex(of: self)! }

    /// The sections of the configuration that it is told. The others may have secrets that are none of its business.
    var sections: [String]? {
        switch self {
        case .egress: ["egress", "local", "log", "otel"]
        case .server: nil
        case .gateway: ["ingress", "local", "log", "otel", "renew_intent"]
        }
    }

    /// Within these sections: what it is not told all the same.
    var secrets: [String: [String]] {
        self == .gateway
            ? ["ingress": ["secure_access.keys", "secure_access.active_key"], "renew_intent": ["redis"]] : [:]
    }

    /// What it keeps of root's rights; nil for all of them.
    func confinement(gatewayUser: UInt32) -> Confinement? {
        switch self {
        case .egress: Confinement(capabilities: [.netAdmin, .netBindService, .sysAdmin])
        case .server: nil
        case .gateway: Confinement(user: gatewayUser, capabilities: [])
        }
    }
}

extension Part {
    /// What every program reads of the system: names, time zones, certificates of authorities, what the kernel says.
    private static let system = [
        "/etc", "/usr", "/lib", "/lib64", "/proc", "/sys", "/dev", "/run/systemd/resolve", "/run/resolvconf",
        "/run/NetworkManager",
    ]

    /// The files that it reaches; nil for all.
    /// - Parameter folder: a descriptor of the gateway's.
    func reach(_ settings: Settings, folder: CInt?) -> Confinement.Reach? {
        switch self {
        case .egress:
            let audit = settings.egress.auditLog.map { [$0.folder] } ?? []
            return Confinement.Reach(
                readable: Self.system + Installation.current.presetFolders(settings.egress)
                    + (settings.egress.rulesFolder.map { [$0] } ?? []) + [settings.namespaceDirectory],
                writable: [settings.guardFolder] + audit, listens: true)
        case .server: return nil
        case .gateway: return Confinement.Reach(readable: Self.system, folder: folder)
        }
    }
}

extension String {
    /// What a path is in.
    fileprivate var folder: String {
        guard let slash = lastIndex(of: "/") else { return "." }
        return slash == startIndex ? "/" : String(self[..<slash])
    }
}

/// What the sockets are called that the supervisor keeps open.
enum ListenerName {
    static let api = "api"
    static let apiTLS = "api-tls"
    static let directory = "directory"
    static let directoryTCP = "directory-tcp"
    static let link = "link"
    static let policy = "policy"
    static let admin = "admin"
    static let guardMetrics = "guard-metrics"
    static let gateway = "gateway"
    static let gatewayTLS = "gateway-tls"
    static let gatewayMetrics = "gateway-metrics"
}

/// Which of the processes are there, for health and metrics.
package struct PartsHealth: Sendable {
    private let board: ProcessBoard?

    /// All in one process: whoever answers is all there is.
    static let single = PartsHealth(board: nil)

    init(board: ProcessBoard?) { self.board = board }

    /// The parts that are to run and do not serve now.
    var down: [Part] {
        guard let board else { return [] }
        return Part.allCases.filter { [.down, .starting].contains(board.state(of: $0.index)) }
    }

    /// Whether a part will not serve within moments: it has ended more than once.
    func isAway(_ part: Part) -> Bool { board?.state(of: part.index) == .down }

    /// Whether each part serves, and how often it was started again.
    var samples: [MetricsRegistry.Sample] {
        guard let board else { return [] }
        return Part.allCases.filter { board.state(of: $0.index) != .absent }.flatMap { part in
            let dimensions = [MetricsRegistry.Dimension("part", part.rawValue)]
            let isReady = board.state(of: part.index) == .ready
            return [
                MetricsRegistry.Sample("sallyport_part_up", .gauge, isReady ? 1 : 0, dimensions),
                .init("sallyport_part_restarts_total", .counter, Double(board.restarts(of: part.index)), dimensions),
            ]
        }
    }

    /// Where the other parts say their metrics.
    func metricsSockets(_ settings: Settings) -> [OtherMetrics] {
        guard let board else { return [] }
        return [(Part.egress, settings.egressAdminSocket), (.gateway, settings.gatewayMetricsSocket)].compactMap {
            part, path in
            guard board.state(of: part.index) != .absent else { return nil }
            return OtherMetrics(path: path) { board.state(of: part.index) == .ready }
        }
    }
}

/// Metrics of a part in another process.
struct OtherMetrics: Sendable {
    let path: String
    let isReady: @Sendable () -> Bool

    /// Nil where it does not say them within a second.
    func text() async -> String? {
        guard isReady() else { return nil }
        let client = GuardHTTPClient(address: .unix(path: path), timeoutMilliseconds: 1000)
        return try? await client.send("GET", "/metrics").text
    }
}

extension MetricsRegistry {
    /// These metrics, and those of other parts that serve now.
    func text(with others: [OtherMetrics]) async -> String {
        var texts = [prometheusText()]
        for other in others { if let text = await other.text() { texts.append(text) } }
        return others.isEmpty ? texts[0] : Self.merged(texts)
    }
}
