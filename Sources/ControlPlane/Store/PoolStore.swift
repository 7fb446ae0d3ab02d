/// Stores the pools that requests have made. When a call has returned, its change survives the end of the process.
package protocol PoolStore: Sendable {
    func save(_ pool: Pool) async throws(StoreError)
    func removePool(_ name: String) async throws(StoreError)
    /// Those that can be read.
    func pools() async throws(StoreError) -> [Pool]
}
