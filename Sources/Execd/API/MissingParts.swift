import HTTPServer
import NIOHTTP1

/// Answers for parts of the contract that this execd does not have, which say so plainly.
enum MissingParts {
    private struct Capabilities: Encodable {
        var available = false
        var message = "this execd has no isolated sessions yet"
    }

    static func add(to http: inout HTTPAPI) {
        http.on(nil, "/v1/isolated/*") { _ in
            throw ExecdError(.notImplemented, "NOT_SUPPORTED", "this execd has no isolated sessions yet")
        }
        // Always told (docs/wire.md#isolated-sessions).
        http.on(.GET, "/v1/isolated/capabilities") { _ in .json(.ok, Capabilities()) }
    }
}
