import FoundationEssentials
import HTTPServer
import JSON
import NIOHTTP1
import Runtimes

@testable import ControlPlane

/// Bodies and queries of the lifecycle API, as anybody may send them, by the decoders that serve.
enum RequestFuzz {
    private static let limits = RequestLimits()

    /// What is read is no deeper than allowed, means the same when it is written and read again, and is JSON to others, too.
    static func json(_ bytes: UnsafeRawBufferPointer) {
        guard let value = try? JSONValue(bytes) else { return }
        promise((try? JSONValue(value.encoded)) == value, "what was written is another value")
        promise(depth(value) <= JSONValue.maxLevels, "there are more levels than allowed")
        let list = Data("[".utf8) + Data(bytes) + Data("]".utf8)
        promise((try? JSONDecoder().decode([Anything].self, from: list)) != nil, "another reader sees no JSON")
    }

    private struct Anything: Decodable {
        init(from decoder: any Decoder) throws {}
    }

    private static func depth(_ value: JSONValue) -> Int {
        switch value {
        case .array(let entries): 1 + (entries.map(depth).max() ?? 0)
        case .object(let object): 1 + (object.members.map { depth($0.value) }.max() ?? 0)
        default: 0
        }
    }

    /// Whatever a create asks for: its sandbox ends before the year 10000, has limits, and can be shown, stored and read again.
    static func create(_ bytes: UnsafeRawBufferPointer) {
        guard let body = try? JSONValue(bytes), let request = try? CreateRequest(body, limits: limits) else { return }
        // What is not given with a pool is the pool's.
        promise(request.poolRef != nil || !request.entrypoint.isEmpty, "nothing to run")
        promise(request.poolRef != nil || request.image.isEmpty == (request.snapshot != nil), "no source, or two")
        promise(request.timeout.map { (60...RequestLimits.maxLife).contains($0) } ?? true, "it lasts too long")
        promise(request.limits.cpuMillis != nil && request.limits.memoryBytes != nil, "it has no limits")
        check(request.volumes)
        let sandbox = Sandbox(request, image: request.image, id: "fuzzed", at: .now())
        promise(sandbox.expiresAt.map { $0 < .last } ?? true, "it ends too late")
        check(Reply.json(.ok, SandboxView(sandbox)))
        let stored = (try? JSONEncoder().encode(sandbox)).flatMap { try? JSONValue($0).decode(Sandbox.self) }
        promise(stored == sandbox, "what was stored is another sandbox")
    }

    /// Volumes have places of their own that lead nowhere else, and are the same when they are stored and read again.
    private static func check(_ volumes: [SandboxVolume]) {
        promise(volumes.count <= SandboxVolume.maxCount, "there are too many volumes")
        promise(Set(volumes.map(\.mountPath)).count == volumes.count, "two volumes have one place")
        for volume in volumes {
            let steps = volume.mountPath.description.utf8.split(separator: UInt8(ascii: "/")).map {
                String(Substring($0))
            }
            promise(!steps.isEmpty && !steps.contains("..") && !steps.contains("."), "it is mounted elsewhere")
        }
        let stored = (try? JSONEncoder().encode(volumes)).flatMap { try? JSONValue($0).decode([SandboxVolume].self) }
        promise(stored == volumes, "what was stored are other volumes")
    }

    static func renew(_ bytes: UnsafeRawBufferPointer) {
        if let moment = Timestamp(String(decoding: bytes, as: UTF8.self)) {
            promise(moment <= .last && Timestamp("\(moment)") == moment, "\(moment) is another moment")
        }
        guard let body = try? JSONValue(bytes), let request = try? RenewRequest(body, limits: limits) else { return }
        promise(request.end <= .now().adding(seconds: RequestLimits.maxLife), "it lasts too long")
    }

    static func list(_ bytes: UnsafeRawBufferPointer) {
        let target = "/v1/sandboxes?" + String(decoding: bytes, as: UTF8.self)
        guard let query = try? ListQuery(HTTPRequest(method: .GET, target: target).query) else { return }
        promise(query.page.number >= 1 && (1...200).contains(query.page.size), "no page")
        let page = SandboxPage([], query)
        promise(page.items.isEmpty && !page.pagination.hasNextPage, "something of nothing")
        check(Reply.json(.ok, page))
    }

    static func metadata(_ bytes: UnsafeRawBufferPointer) {
        guard let body = try? JSONValue(bytes), let patch = try? MetadataPatch(body) else { return }
        for (key, value) in patch.entries {
            promise(MetadataLabel.problem(key: key, value: value) == nil, "\(key) is no label")
            promise(!key.hasPrefix(MetadataLabel.reservedPrefix), "\(key) is the server's")
        }
    }

    /// Bodies of pools, of what no runtime has, and of what is only counted.
    static func surface(_ bytes: UnsafeRawBufferPointer) {
        guard let body = try? JSONValue(bytes) else { return }
        if case .object = body {
        } else {
            promise((try? PoolRequest.update(body)) == nil, "a pool that is no object")
            promise((try? TemplateRequest.check(body)) == nil, "a template that is no object")
        }
        if let pool = try? PoolRequest.create(body, at: .now()) {
            promise(PoolRequest.isName(pool.name) && pool.capacity.poolMin <= pool.capacity.poolMax, "no pool")
        }
        guard let event = try? MetricsEvent(body) else { return }
        promise((0...86_400_000).contains(event.milliseconds), "a create of more than a day")
    }

    /// A file of API keys, and what somebody presents as one.
    static func keys(_ bytes: UnsafeRawBufferPointer) {
        let text = String(decoding: bytes, as: UTF8.self)
        promise(APIKeys.none.key(of: text) == nil, "a key of nobody's")
        guard let keys = try? APIKeys(json: text) else { return }
        promise(keys.key(of: text) == nil, "a file that is a key")
        promise(keys.all.count <= APIKeys.most && keys.all.allSatisfy { APIKey.isName($0.name) }, "names that are none")
        promise((try? APIKeys(json: keys.json)) == keys, "what was written are other keys")
    }

    /// The kind is the first byte's, the rest a query.
    static func diagnostics(_ bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else { return }
        let kind = DiagnosticsQuery.Kind.allCases[Int(first) % DiagnosticsQuery.Kind.allCases.count]
        let target = "/?" + String(decoding: bytes.dropFirst(), as: UTF8.self)
        guard let query = try? DiagnosticsQuery(kind, HTTPRequest(method: .GET, target: target).query) else { return }
        promise((1...10_000).contains(query.lines) && (1...500).contains(query.events), "more than there is")
        promise(query.since.map { (0...RequestLimits.maxLife).contains($0) } ?? true, "before there were clocks")
        promise(query.scope == nil || kind == .logs || kind == .events, "a scope of what has none")
    }

    private static func check(_ reply: Reply) {
        promise((try? JSONValue(reply.bytes)) != nil, "the answer is no JSON")
    }
}
