/// Stores the server's sandboxes. When a call has returned, its change survives the end of the process.
public protocol SandboxStore: Sendable {
    func save(_ sandbox: Sandbox) async throws(StoreError)
    func remove(_ id: String) async throws(StoreError)
    /// Those that can be read.
    func all() async throws(StoreError) -> [Sandbox]
    /// The ids of those that cannot: a later server's, or damaged ones.
    func unreadable() async throws(StoreError) -> [String]
}

/// Why the store failed. Nothing was changed.
public struct StoreError: Error, Hashable, Sendable, CustomStringConvertible {
    public let path: String
    public let reason: String

    public var description: String { "the store \(path) failed: \(reason)" }
}
