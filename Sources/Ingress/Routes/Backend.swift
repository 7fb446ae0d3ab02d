import SecureAccess

/// How to reach one port of one sandbox.
package struct Backend: Hashable, Sendable {
    package enum Address: Hashable, Sendable {
        /// The host is a literal address; no names are resolved to reach a sandbox.
        case tcp(host: String, port: Int)
        case unix(path: String)
    }

    package struct Header: Hashable, Sendable {
        package var name: String
        package var value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    package var address: Address
    /// Prepended to the request's path: "/sandboxes/<id>" if one socket serves many sandboxes, usually empty.
    package var pathPrefix: String
    /// Changes on create, resume and restart. A pooled connection never outlives it.
    package var incarnation: String
    /// `EndpointCredential.hash` of the sandbox's static credential. With nil, unsigned routes are open.
    package var credentialHash: [UInt8]?
    /// The epoch that signed routes of the sandbox must be signed for.
    package var epoch: AccessEpoch
    /// Set on the request to the backend, replacing fields of the same names from the client.
    package var headers: [Header]
    /// Whether a TCP address is dialled by way of `InsideDialer` alone, since the address is not the sandbox's own.
    package var isInside = false

    package init(
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
