import HTTPServer
import NIOHTTP1

/// Answers for parts of the contract that this execd does not have, which say so plainly.
enum MissingParts {
    private struct Capabilities: Encodable {
        var available = false
        var message = "this execd has no isolated sessions yet"
    }

    static func add(to http: inout HTTPAPI) {
        for (path, part) in [
            ("/v1/isolated", "isolated sessions"), ("/pty", "terminals"),
        ] {
            http.on(nil, path + "/*") { _ in
                throw ExecdError(.notImplemented, "NOT_SUPPORTED", "this execd has no \(part) yet")
            }
        }
        // Always told (docs/wire.md#isolated-sessions).
        http.on(.GET, "/v1/isolated/capabilities") { _ in .json(.ok, Capabilities()) }
    }
}
