import HTTPServer
import NIOHTTP1

extension LifecycleAPI {
    /// `/sandboxes` and what is beneath it; `path` is what comes after.
    func sandboxes(
        _ path: ArraySlice<String>, _ request: HTTPRequest, isVersioned: Bool
    ) async throws(APIError) -> Reply {
        let rest = Array(path)
        guard let id = rest.first else {
            switch request.method {
            case .POST: return try await create(request)
            case .GET:
                try check(request, parameters: ListQuery.parameters)
                return .json(.ok, SandboxPage(service.catalog.all, try ListQuery(request.query)))
            default: throw .wrongMethod
            }
        }
        switch (rest.count, rest.dropFirst().first) {
        case (1, _):
            switch request.method {
            case .GET:
                // Also one that is being deleted: a deletion that failed is to be seen.
                guard let sandbox = service.catalog[id] else { throw .unknownSandbox(id) }
                return .json(.ok, SandboxView(sandbox))
            case .DELETE:
                try await service.delete(id)
                return .empty(.noContent)
            default: throw .wrongMethod
            }
        case (2, "pause"):
            try expect(.POST, request)
            try await service.pause(id)
            return .empty(.accepted)
        case (2, "resume"):
            try expect(.POST, request)
            try await service.resume(id)
            return .empty(.accepted)
        case (2, "renew-expiration"):
            try expect(.POST, request)
            return try await renew(id, request)
        case (2, "metadata"):
            try expect(.PATCH, request)
            return try await patchMetadata(id, request)
        case (2, "networkpolicy"): return try await networkPolicy(id, request)
        case (2, "snapshots"):
            try expect(.POST, request)
            _ = try service.sandbox(id)
            throw .notSupported("snapshots are not in this version", code: "SNAPSHOT::NOT_IMPLEMENTED")
        case (3, "endpoints"):
            try expect(.GET, request)
            return try await endpoint(id, rest[2], request, isVersioned: isVersioned)
        case (4, "endpoints") where rest[3] == "revoke":
            try expect(.POST, request)
            _ = try Self.port(rest[2])
            try await service.revokeAccess(id)
            return .empty(.noContent)
        case (3, "diagnostics"):
            try expect(.GET, request)
            return try await diagnostics(id, rest[2], request)
        default: throw .unknownRoute
        }
    }

    private func create(_ request: HTTPRequest) async throws(APIError) -> Reply {
        let create = try CreateRequest(try await json(request), limits: limits)
        let sandbox = try await service.create(create, images: images)
        return .json(.accepted, SandboxView(sandbox, showsImage: false))
    }

    private func renew(_ id: String, _ request: HTTPRequest) async throws(APIError) -> Reply {
        let end = try RenewRequest(try await json(request), limits: limits).end
        return .json(.ok, ["expiresAt": "\(try await service.renew(id, until: end))"])
    }

    private func patchMetadata(_ id: String, _ request: HTTPRequest) async throws(APIError) -> Reply {
        let patch = try MetadataPatch(try await json(request))
        return .json(.ok, SandboxView(try await service.patchMetadata(id, patch.entries)))
    }
}
