import Runtimes

/// What a sandbox is made from, as far as the lifecycle needs it.
public struct ResolvedImage: Sendable {
    /// The folder of its files.
    public var root: String
    public var environment: [String: String]
    public var workingDirectory: String

    public init(root: String, environment: [String: String] = [:], workingDirectory: String = "/") {
        self.root = root
        self.environment = environment
        self.workingDirectory = workingDirectory
    }
}

/// Where the files of sandboxes come from.
protocol ImageSource: Sendable {
    /// - Throws: `APIError` that says whose fault it is that there is no such image.
    func image(_ reference: String, credentials: RegistryCredentials?) async throws(APIError) -> ResolvedImage
}
