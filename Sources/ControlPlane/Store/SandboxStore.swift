/// Stores the server's sandboxes. When a call has returned, its change survives the end of the process.
package protocol SandboxStore: Sendable {
    func save(_ sandbox: Sandbox) async throws(StoreError)
    func remove(_ id: String) async throws(StoreError)
    /// Those that can be read.
    func all() async throws(StoreError) -> [Sandbox]
    /// The ids of those that cannot: a later server's, or damaged ones.
    func unreadable() async throws(StoreError) -> [String]
}

/// Why the store failed. Nothing was changed.
package struct StoreError: Error, Hashable, Sendable, CustomStringConvertible {
    package let path: String
    package let reason: String

    package var description: String { "the store \(path) failed: \(reason)" }
}
