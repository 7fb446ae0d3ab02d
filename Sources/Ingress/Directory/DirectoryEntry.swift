import SecureAccess

/// What a directory knows of one sandbox, as it tells it to gateways: enough to route and to check. It has no credential in
/// it, so that a gateway can let nobody in who does not bring one.
public struct DirectoryEntry: Codable, Hashable, Sendable {
    /// A port that is not simply dialled at the sandbox's address.
    public struct Service: Codable, Hashable, Sendable {
        public var port: Int
        /// A unix socket of this machine that serves it; nil: the sandbox itself does.
        public var socket: String?
        public var pathPrefix: String?

        public init(port: Int, socket: String? = nil, pathPrefix: String? = nil) {
            self.port = port
            self.socket = socket
            self.pathPrefix = pathPrefix
        }
    }

    public var id: String
    /// A literal address; nil where the sandbox cannot be reached now.
    public var host: String?
    /// Why it cannot be reached; shown to whoever may reach it.
    public var notReady: String?
    /// Tells this sandbox from any other that had its address.
    public var incarnation: String
    public var epoch: AccessEpoch
    /// `EndpointCredential.hash` of its static credential; nil where access is open.
    public var credentialHash: [UInt8]?
    public var services: [Service]
    /// Whether accesses prolong its life.
    public var renews: Bool

    public init(
        id: String, host: String?, notReady: String? = nil, incarnation: String, epoch: AccessEpoch = .first,
        credentialHash: [UInt8]? = nil, services: [Service] = [], renews: Bool = false
    ) {
        self.id = id
        self.host = host
        self.notReady = notReady
        self.incarnation = incarnation
        self.epoch = epoch
        self.credentialHash = credentialHash
        self.services = services
        self.renews = renews
    }

    public func lookup(_ port: Int) -> EndpointLookup {
        guard let host else {
            return .notReady(
                notReady ?? "the sandbox cannot be reached now", credentialHash: credentialHash, epoch: epoch)
        }
        let service = services.first { $0.port == port }
        return .found(
            Backend(
                address: service?.socket.map { .unix(path: $0) } ?? .tcp(host: host, port: port),
                pathPrefix: service?.pathPrefix ?? "", incarnation: incarnation, credentialHash: credentialHash,
                epoch: epoch))
    }
}

/// Access that ended: connections to `incarnation` that were opened for another epoch than `epoch` are to be closed.
public struct EndedAccess: Hashable, Sendable {
    public var incarnation: String
    /// What is still good; nil where the sandbox is gone.
    public var epoch: AccessEpoch?

    public init(incarnation: String, epoch: AccessEpoch? = nil) {
        self.incarnation = incarnation
        self.epoch = epoch
    }

    /// What a change of a sandbox's entry ends; nil where it ends nothing.
    public static func between(_ old: DirectoryEntry?, _ new: DirectoryEntry?) -> EndedAccess? {
        guard let old else { return nil }
        guard let new, new.incarnation == old.incarnation else { return EndedAccess(incarnation: old.incarnation) }
        return new.epoch == old.epoch ? nil : EndedAccess(incarnation: old.incarnation, epoch: new.epoch)
    }
}
