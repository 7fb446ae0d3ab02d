/// An image that a runtime keeps for sandboxes to come.
package struct KeptImage: Hashable, Sendable {
    package enum Access: String, Sendable {
        /// Fetched without credentials; for everybody.
        case open
        /// Fetched with credentials; for callers to whom its registry gives it at that moment.
        case restricted = "private"
        /// A folder of this machine's that its operator has made.
        case local
    }

    /// Canonical.
    package var reference: String
    /// Of its manifest for this machine; empty for a folder, and for what an engine keeps.
    package var digest: String
    package var access: Access
    /// Whether sandboxes or snapshots stand on its files; nil where that is not known.
    package var isUsed: Bool?

    package init(reference: String, digest: String, access: Access, isUsed: Bool?) {
        self.reference = reference
        self.digest = digest
        self.access = access
        self.isUsed = isUsed
    }
}

/// Why an image stays.
package enum ImageRemovalError: Error, Hashable, Sendable {
    case unknown
    /// Sandboxes or snapshots stand on it, or one is being made of it.
    case inUse
    /// It is a folder of the operator's.
    case local
    /// The runtime does not keep images, or not only its own.
    case unsupported
    case failed(String)
}
