import HTTPClient
import JSON
import System

/// One request to a container engine (Docker Engine API), as a value.
struct EngineCall: Equatable, Sendable {
    enum Body: Equatable, Sendable {
        case none
        case json(JSONValue)
        case archive([UInt8])
    }

    var method: String
    /// The steps of the path. Each is encoded, so that no name can add another.
    var path: [String]
    var query: [QueryItem] = []
    var body = Body.none
    /// Credentials for a registry, as the engine takes them; a secret.
    var registryAuth: String?
    /// Statuses that are an answer like success, with their own meaning.
    var expected: Set<Int> = []

    struct QueryItem: Hashable, Sendable {
        var name: String
        var value: String
    }

    /// The most bytes of an answer that is read whole: 10,000 containers come to about half of it.
    static let maxAnswer = 64 << 20
    /// Of a line of a stream.
    static let maxLine = 1 << 20

    init(_ method: String, _ path: String..., query: [(String, String)] = [], body: Body = .none) {
        self.method = method
        self.path = path
        self.query = query.map { QueryItem(name: $0.0, value: $0.1) }
        self.body = body
    }

    /// Path and query as they are sent. Without a version, which means the engine's own.
    var target: String {
        let steps = path.map { "/" + PercentEncoding.encode($0) }.joined()
        guard !query.isEmpty else { return steps }
        let items = query.map { PercentEncoding.encode($0.name) + "=" + PercentEncoding.encode($0.value) }
        return steps + "?" + items.joined(separator: "&")
    }

    var request: ClientRequest {
        var headers: [(name: String, value: String)] = []
        var sent = ClientRequest.Body.none
        switch body {
        case .none: break
        case .json(let value):
            headers.append(("Content-Type", "application/json"))
            sent = .bytes(value.encoded)
        case .archive(let bytes):
            headers.append(("Content-Type", "application/x-tar"))
            sent = .bytes(bytes)
        }
        if let registryAuth { headers.append(("X-Registry-Auth", registryAuth)) }
        return ClientRequest(method, target, headers: headers, body: sent)
    }

    /// A value of `filters`, by which lists and events are narrowed.
    static func filters(_ filters: [String: [String]]) -> (String, String) {
        var object = JSONObject()
        for (name, values) in filters.sorted(by: { $0.key < $1.key }) {
            object.set(name, .array(values.map { .string($0) }))
        }
        return ("filters", String(decoding: JSONValue.object(object).encoded, as: UTF8.self))
    }
}
