import SecureAccess

/// A sandbox's entry in the directory, as sent to gateways: what they need to route and to check access. It contains no
/// credential, only a hash.
package struct DirectoryEntry: Codable, Hashable, Sendable {
    /// A port that is not simply dialled at the sandbox's address.
    package struct Service: Codable, Hashable, Sendable {
        package var port: Int
        /// A unix socket of this machine that serves it; nil if the sandbox does.
        package var socket: String?
        package var pathPrefix: String?
        /// A literal address that serves it; nil for the sandbox's.
        package var host: String?
        /// The port there that forwards to it; nil for the same port.
        package var targetPort: Int?

        package init(
            port: Int, socket: String? = nil, pathPrefix: String? = nil, host: String? = nil, targetPort: Int? = nil
        ) {
            self.port = port
            self.socket = socket
            self.pathPrefix = pathPrefix
            self.host = host
            self.targetPort = targetPort
        }
    }

    package var id: String
    /// A literal address; nil if the sandbox cannot be reached now.
    package var host: String?
    /// Why it cannot be reached; shown to authorised clients only.
    package var notReady: String?
    /// Distinguishes this sandbox from others that had its address.
    package var incarnation: String
    package var epoch: AccessEpoch
    /// `EndpointCredential.hash` of its static credential; nil if access is open.
    package var credentialHash: [UInt8]?
    package var services: [Service]
    /// Whether accesses renew it.
    package var renews: Bool
    /// Whether `host` also serves other things than the sandbox, so that only `services` belong to the sandbox.
    package var dialsServicesOnly: Bool?
    /// Whether `host` also serves other things than the sandbox, so that each of its ports is dialled by way of `InsideDialer`,
    /// which knows whose it is.
    package var dialsInside: Bool?

    package init(
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

    package func lookup(_ port: Int) -> EndpointLookup {
        guard let host else {
            return .notReady(
                notReady ?? "the sandbox cannot be reached now", credentialHash: credentialHash, epoch: epoch)
        }
        let service = services.first { $0.port == port }
        guard service != nil || dialsServicesOnly != true else {
            return .notReady(
                "port \(port) of the sandbox is not published", credentialHash: credentialHash, epoch: epoch)
        }
        var backend = Backend(
            address: service?.socket.map { .unix(path: $0) }
                ?? .tcp(host: service?.host ?? host, port: service?.targetPort ?? port),
            pathPrefix: service?.pathPrefix ?? "", incarnation: incarnation, credentialHash: credentialHash,
            epoch: epoch)
        backend.isInside = dialsInside == true
        return .found(backend)
    }
}

/// Access that has ended: connections to `incarnation` that were opened under another epoch than `epoch` must be
/// closed.
package struct EndedAccess: Hashable, Sendable {
    package var incarnation: String
    /// The epoch still valid; nil if the sandbox is gone.
    package var epoch: AccessEpoch?

    package init(incarnation: String, epoch: AccessEpoch? = nil) {
        self.incarnation = incarnation
        self.epoch = epoch
    }

    /// The access that a change of an entry ends; nil for none.
    package static func between(_ old: DirectoryEntry?, _ new: DirectoryEntry?) -> EndedAccess? {
        guard let old else { return nil }
        guard let new, new.incarnation == old.incarnation else { return EndedAccess(incarnation: old.incarnation) }
        return new.epoch == old.epoch ? nil : EndedAccess(incarnation: old.incarnation, epoch: new.epoch)
    }
}
