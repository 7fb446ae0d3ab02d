import HTTPServer
import NIOHTTP1
import Runtimes

extension LifecycleAPI {
    /// `/images`, which the contract does not have. What was fetched with somebody's credentials is seen by administrators alone.
    /// - Parameter prefix: empty, or `/v1`.
    func addImages(to http: inout HTTPAPI, _ prefix: String) {
        let all = prefix + "/images"
        add(to: &http, .GET, all, .read) { [self] call in
            let images = try await service.images(all: call.caller.scope == .admin)
            return .json(.ok, ["items": images.map { ImageView($0, tellsUse: call.caller.seesAll) }])
        }
        add(to: &http, .POST, all, .operate) { [self] call in
            let asked = try PullRequest(try await json(call.request))
            guard let image = try await service.pull(asked, owner: call.caller.key) else {
                return .json(.accepted, ["state": "Pulling"])
            }
            return .json(.ok, ImageView(image, tellsUse: call.caller.seesAll))
        }
        add(to: &http, .DELETE, all, .admin) { [self] call in
            try check(call.request, parameters: ["uri"])
            guard let reference = call.request.query("uri"), !reference.isEmpty else {
                throw APIError.invalid(["query", "uri"], "Field required", type: "missing")
            }
            try await service.remove(image: reference)
            return .empty(.noContent)
        }
        add(to: &http, .POST, all + "/prune", .admin) { [self] _ in
            .json(.ok, ["items": try await service.pruneImages().map { ImageView($0) }])
        }
    }
}

/// An image in the API.
struct ImageView: Encodable, Sendable {
    var uri: String
    var digest: String?
    var access: String
    var inUse: Bool?

    /// - Parameter tellsUse: whether to say if it is in use, which tells of others' sandboxes.
    init(_ image: KeptImage, tellsUse: Bool = true) {
        uri = image.reference
        digest = image.digest.isEmpty ? nil : image.digest
        access = image.access.rawValue
        inUse = tellsUse ? image.isUsed : nil
    }
}
