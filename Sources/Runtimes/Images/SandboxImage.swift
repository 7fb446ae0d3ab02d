import Spelling

/// An image for sandboxes: files on this machine, and the image's settings for running them.
public struct SandboxImage: Codable, Hashable, Sendable {
    /// Canonical, as `ImageReference.description`.
    public var reference: String
    /// The folder of the unpacked files. It is never written to, since it is the lower layer of sandboxes' overlays.
    public var root: String
    public var entrypoint: [String]
    public var command: [String]
    public var environment: [ExactName: String]
    public var workingDirectory: String
    /// As in the image: a name or number, perhaps with a group after a colon; empty for root.
    public var user: String
    /// The digest of the image's manifest for this machine; empty for a registered folder.
    public var digest: String

    public init(
        reference: String, root: String, entrypoint: [String] = [], command: [String] = [],
        environment: [ExactName: String] = [:], workingDirectory: String = "/", user: String = "", digest: String = ""
    ) {
        self.reference = reference
        self.root = root
        self.entrypoint = entrypoint
        self.command = command
        self.environment = environment
        self.workingDirectory = workingDirectory
        self.user = user
        self.digest = digest
    }
}
