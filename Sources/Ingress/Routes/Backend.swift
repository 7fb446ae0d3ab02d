import SecureAccess

/// How to reach one port of one sandbox.
public struct Backend: Hashable, Sendable {
    public enum Address: Hashable, Sendable {
        /// The host is a literal address; no names are resolved to reach a sandbox.
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
    /// Prepended to the request's path: "/sandboxes/<id>" if one socket serves many sandboxes, usually empty.
    public var pathPrefix: String
    /// Changes on create, resume and restart. A pooled connection never outlives it.
    public var incarnation: String
    /// `EndpointCredential.hash` of the sandbox's static credential. With nil, unsigned routes are open.
    public var credentialHash: [UInt8]?
    /// The epoch that signed routes of the sandbox must be signed for.
    public var epoch: AccessEpoch
    /// Set on the request to the backend, replacing fields of the same names from the client.
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
