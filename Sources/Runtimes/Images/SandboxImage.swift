/// An image that sandboxes can be made of: files on this machine, and what the image says about running them.
public struct SandboxImage: Codable, Hashable, Sendable {
    /// Canonical, as `ImageReference.description`.
    public var reference: String
    /// Folder of the unpacked files. Nobody writes to it: it is the lower layer of every sandbox's overlay.
    public var root: String
    public var entrypoint: [String]
    public var command: [String]
    public var environment: [String: String]
    public var workingDirectory: String
    /// As the image writes it: name or number, perhaps with a group after a colon; empty for root.
    public var user: String
    /// Of the image's OCI manifest for this machine; empty for a registered folder without one.
    public var digest: String

    public init(
        reference: String, root: String, entrypoint: [String] = [], command: [String] = [],
        environment: [String: String] = [:], workingDirectory: String = "/", user: String = "", digest: String = ""
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
