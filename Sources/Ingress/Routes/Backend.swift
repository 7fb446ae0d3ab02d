import SecureAccess

/// Where one port of one sandbox is dialled.
public struct Backend: Hashable, Sendable {
    public enum Address: Hashable, Sendable {
        /// The host is a literal address: nothing is resolved on the way to a sandbox.
        case tcp(host: String, port: Int)
        case unix(path: String)
    }

    public struct Header: Hashable, Sendable {
        public var name: String
        public var value: String

        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    public var address: Address
    /// Put in front of the request's path, "/sandboxes/<id>" where one socket serves many sandboxes; usually empty.
    public var pathPrefix: String
    /// Changes on create, resume and restart. A pooled connection never outlives it.
    public var incarnation: String
    /// `EndpointCredential.hash` of the sandbox's static credential. With nil, unsigned routes are open.
    public var credentialHash: [UInt8]?
    /// What signed routes of the sandbox have to be signed for.
    public var epoch: AccessEpoch
    /// Set on the request towards the backend, in the place of what the client sent under these names.
    public var headers: [Header]

    public init(
        address: Address, pathPrefix: String = "", incarnation: String, credentialHash: [UInt8]? = nil,
        epoch: AccessEpoch = .first, headers: [Header] = []
    ) {
        self.address = address
        self.pathPrefix = pathPrefix
        self.incarnation = incarnation
        self.credentialHash = credentialHash
        self.epoch = epoch
        self.headers = headers
    }
}
