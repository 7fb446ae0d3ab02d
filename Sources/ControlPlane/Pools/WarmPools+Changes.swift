import Logging
import NIOHTTP1
import Synchronization

/// Making, resizing and deleting pools. Each is stored first.
extension WarmPools {
    static let ending = APIError(
        .serviceUnavailable, "KUBERNETES::POOL_API_ERROR", "this server is stopping: try again when it is back")
    /// More than anybody looks after.
    private static let maxPools = 256

    /// - Parameter inUse: sandboxes of an earlier pool of this name.
    func create(_ pool: Pool, inUse: [String] = []) async throws(APIError) {
        try await changes.withLock(pool.name) { () async throws(APIError) in
            guard state.withLock({ $0.buffers[pool.name] }) == nil else {
                throw APIError(.conflict, "KUBERNETES::POOL_ALREADY_EXISTS", "Pool \(pool.name) exists already")
            }
            let (isEnding, count) = state.withLock { ($0.isEnding, $0.buffers.count) }
            guard !isEnding else { throw Self.ending }
            guard count < Self.maxPools else {
                throw APIError(
                    .tooManyRequests, "KUBERNETES::POOL_API_ERROR", "there are \(count) pools: delete some")
            }
            try await stored { () async throws(StoreError) in try await store.save(pool) }
            state.withLock { state in
                state.buffers[pool.name] = PoolBuffer(pool)
                for id in inUse { state.buffers[pool.name]!.use(id, isInUse: true) }
            }
        }
        wake()
    }

    func resize(_ name: String, _ capacity: PoolCapacity) async throws(APIError) -> PoolBuffer {
        try await changes.withLock(name) { () async throws(APIError) in
            var pool = try changeable(name)
            pool.capacity = capacity
            try await stored { [pool] () async throws(StoreError) in try await store.save(pool) }
            state.withLock { $0.buffers[name]?.pool = pool }
        }
        wake()
        return try buffer(name)
    }

    /// Sandboxes of it that are in use stay as they are.
    func delete(_ name: String) async throws(APIError) {
        let waiting: [String] = try await changes.withLock(name) { () async throws(APIError) in
            _ = try changeable(name)
            try await stored { () async throws(StoreError) in try await store.remove(name) }
            return state.withLock { state in
                state.failing[name] = nil
                var buffer = state.buffers.removeValue(forKey: name)
                return buffer?.empty() ?? []
            }
        }
        await destroy(waiting)
    }

    private func changeable(_ name: String) throws(APIError) -> Pool {
        let buffer = try buffer(name)
        guard !buffer.isConfigured else {
            throw APIError(
                .conflict, "KUBERNETES::POOL_API_ERROR", "pool \(name) is defined in the configuration: change it there"
            )
        }
        return buffer.pool
    }

    private func stored(_ body: () async throws(StoreError) -> Void) async throws(APIError) {
        do throws(StoreError) { try await body() } catch {
            logger.error("the store could not be written", metadata: ["error": "\(error)"])
            throw APIError(
                .internalServerError, "KUBERNETES::POOL_API_ERROR", "the pool could not be stored: the log says why")
        }
    }
}
