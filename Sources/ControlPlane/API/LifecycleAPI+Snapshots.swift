import HTTPServer
import NIOHTTP1

extension LifecycleAPI {
    /// `/snapshots`, and how they are taken of sandboxes.
    /// - Parameter prefix: empty, or `/v1`.
    func addSnapshots(to http: inout HTTPAPI, _ prefix: String) {
        let all = prefix + "/snapshots", one = all + "/{id}"
        add(to: &http, .POST, prefix + "/sandboxes/{id}/snapshots", .operate) { [self] call in
            guard call.caller.owns(service.catalog[call.id]) else { throw service.unknownSandbox(call.id) }
            let asked = try SnapshotRequest(try await body(call.request))
            let snapshot = try await service.takeSnapshot(of: call.id, name: asked.name)
            // With the version, wherever it was asked for (contract).
            return .json(
                .accepted, SnapshotView(snapshot), headers: ["location": "/v1/snapshots/\(snapshot.id)"])
        }
        add(to: &http, .GET, all, .read) { [self] call in
            try check(call.request, parameters: SnapshotQuery.parameters)
            let query = try SnapshotQuery(call.request.query)
            try service.needsSnapshots()
            return .json(.ok, Page<SnapshotView>(service.snapshots.all.filter { call.caller.owns($0) }, query))
        }
        add(to: &http, .GET, one, .read) { [self] in .json(.ok, SnapshotView(try snapshot($0.id, $0.caller))) }
        add(to: &http, .DELETE, one, .operate) { [self] in
            _ = try snapshot($0.id, $0.caller)
            try await service.deleteSnapshot($0.id)
            return .empty(.noContent)
        }
    }

    /// A snapshot that a caller may know of; to others it is as if there were none.
    func snapshot(_ id: String, _ caller: Caller) throws(APIError) -> Snapshot {
        let snapshot = try service.snapshot(id)
        guard caller.owns(snapshot) else { throw .unknownSnapshot(id) }
        return snapshot
    }
}
