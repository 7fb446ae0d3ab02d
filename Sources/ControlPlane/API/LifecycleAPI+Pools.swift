import HTTPServer
import NIOHTTP1
import Runtimes

extension LifecycleAPI {
    /// `/pools` and what is below it; bodies are checked first where there are no pools, too.
    /// - Parameter prefix: empty, or `/v1`.
    func addPools(to http: inout HTTPAPI, _ prefix: String) {
        let all = prefix + "/pools", one = all + "/{name}"
        add(to: &http, .POST, all, .admin) { [self] call in
            let pool = try PoolRequest.create(try await json(call.request), at: .now())
            try await pools().create(pool, inUse: service.sandboxes(ofPool: pool.name))
            return .json(.created, PoolView(try pools().buffer(pool.name)))
        }
        add(to: &http, .GET, all, .read) { [self] call in
            .json(.ok, ["items": try pools().all.map { view(of: $0, for: call.caller) }])
        }
        add(to: &http, .GET, one, .read) { [self] call in
            .json(.ok, view(of: try pools().buffer(call["name"]), for: call.caller))
        }
        add(to: &http, .PUT, one, .admin) { [self] call in
            let capacity = try PoolRequest.update(try await json(call.request))
            return .json(.ok, PoolView(try await pools().resize(call["name"], capacity)))
        }
        add(to: &http, .DELETE, one, .admin) { [self] call in
            try await pools().delete(call["name"])
            return .empty(.noContent)
        }
    }

    /// Of those in use it counts those that the caller may know of.
    private func view(of buffer: PoolBuffer, for caller: Caller) -> PoolView {
        PoolView(buffer, hidden: buffer.allocated.count(where: { !caller.owns(service.catalog[$0]) }))
    }

    private func pools() throws(APIError) -> WarmPools {
        guard let pools = service.pools, service.runtime.capabilities.pools else {
            throw .notSupported("pools are not supported by this runtime", code: "KUBERNETES::POOL_NOT_SUPPORTED")
        }
        return pools
    }
}

/// A pool in the API.
struct PoolView: Encodable, Sendable {
    struct Status: Encodable, Sendable {
        var total, allocated, available: Int
        var revision: String
    }

    var name: String
    var capacitySpec: PoolCapacity
    var status: Status
    var createdAt: String

    /// - Parameter hidden: how many of those in use are not counted.
    init(_ buffer: PoolBuffer, hidden: Int = 0) {
        name = buffer.pool.name
        capacitySpec = buffer.pool.capacity
        status = Status(
            total: buffer.total - hidden, allocated: buffer.allocated.count - hidden,
            available: buffer.available.count, revision: buffer.pool.template.revision)
        createdAt = "\(buffer.pool.createdAt)"
    }
}
