import FoundationEssentials
import HTTPServer
import Ingress
import JSON
import NIOCore
import NIOHTTP1
import NetworkPolicy
import Runtimes
import Synchronization
import TestSupport
import Testing

@testable import ControlPlane

/// A server that requests are sent to without a socket.
protocol TestServer {
    var api: LifecycleAPI { get }
}

extension House: TestServer {}

extension TestServer {
    func send(
        _ method: HTTPMethod, _ target: String, _ body: String = "", headers: HTTPHeaders = [:],
        key: String? = House.apiKey
    ) async -> (status: Int, json: JSONValue?, text: String) {
        var headers = headers
        if let key { headers.add(name: LifecycleAPI.keyHeader, value: key) }
        if !body.isEmpty {
            headers.replaceOrAdd(name: "content-length", value: String(body.utf8.count))
            if !headers.contains(name: "content-type") { headers.add(name: "content-type", value: "application/json") }
        }
        let reply = await api.http.reply(
            to: HTTPRequest(
                method: method, target: target, headers: headers, body: HTTPBody(ByteBuffer(string: body))))
        return (Int(reply.status.code), try? JSONValue(reply.bytes), String(decoding: reply.bytes, as: UTF8.self))
    }

    /// The status with which a path is refused before a relay has it; nil if the relay gets it.
    func relayed(_ target: String, key: String?) async -> Int? {
        var headers: HTTPHeaders = [:]
        if let key { headers.add(name: LifecycleAPI.keyHeader, value: key) }
        let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: target, headers: headers)
        return api.http.relayRefusal(head).map { Int($0.status.code) }
    }

    /// The same when everything has been waited for.
    func relayedLater(_ target: String, key: String?) async -> Int? {
        var headers: HTTPHeaders = [:]
        if let key { headers.add(name: LifecycleAPI.keyHeader, value: key) }
        let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: target, headers: headers)
        var responder = api.http.responder(to: head)
        if case .later(let decide) = responder { responder = await decide() }
        if case .relay = responder { return nil }
        return await relayed(target, key: key)
    }

    /// A running sandbox's id.
    func create(_ change: String = "") async throws -> String {
        let answer = await send(.POST, "/v1/sandboxes", Self.body(change))
        guard answer.status == 202, case .object(let fields)? = answer.json, case .string(let id)? = fields["id"] else {
            throw APIError(.internalServerError, "TEST", answer.text)
        }
        return id
    }

    static func body(_ change: String = "", image: String = "known") -> String {
        #"{"image":{"uri":"\#(image)"},"timeout":600,"resourceLimits":{},"entrypoint":["sleep","9"]\#(change)}"#
    }
}

extension JSONValue {
    subscript(_ path: String...) -> JSONValue? {
        path.reduce(self) { value, name in
            if case .object(let fields)? = value { fields[name] } else { nil }
        }
    }
    var hasNull: Bool {
        switch self {
        case .null: true
        case .array(let items): items.contains(where: \.hasNull)
        case .object(let fields): fields.members.contains { $0.value.hasNull }
        default: false
        }
    }
}

@Suite struct LifecycleTests {
    @Test func `a sandbox is guarded before it runs, and shown without nulls`() async throws {
        let house = try House()
        let answer = await house.send(.POST, "/v1/sandboxes", House.body(#","networkPolicy":{"defaultAction":"deny"}"#))
        let json = try #require(answer.json)
        #expect(answer.status == 202 && json["status", "state"] == .string("Running") && !json.hasNull)
        guard case .string(let id)? = json["id"] else { return #expect(Bool(false), "\(json)") }
        #expect(
            house.runtime.log == ["prepare \(id)", "start \(id)"]
                && house.egress.policies.withLock { $0[id] } == .denyAll)
        for target in ["/v1/sandboxes/\(id)", "/sandboxes/\(id)"] {
            let shown = await house.send(.GET, target)
            #expect(
                shown.status == 200 && shown.json?["image", "uri"] == .string("known") && shown.json?.hasNull == false)
        }
        #expect(house.store.rows.withLock { $0.keys.sorted() } == [id])
    }

    @Test(arguments: ["prepare", "start", "guard", "image"])
    func `a create that fails leaves nothing`(_ step: String) async throws {
        let house = try House()
        if step == "guard" { house.egress.failing.withLock { $0 = true } } else { house.runtime.fail(step) }
        let answer = await house.send(.POST, "/v1/sandboxes", House.body(image: step == "image" ? "unknown" : "known"))
        #expect(answer.status == (step == "image" ? 400 : 500) && answer.json?["code"] != nil, "\(answer.text)")
        #expect(house.runtime.left.isEmpty && house.egress.policies.withLock { $0.isEmpty })
        #expect(house.store.rows.withLock { $0.isEmpty } && house.service.catalog.all.isEmpty)
    }

    @Test func `a store that refuses is an error, and nothing was made`() async throws {
        let house = try House()
        house.store.failing.withLock { $0 = true }
        #expect(await house.send(.POST, "/v1/sandboxes", House.body()).status == 500)
        #expect(house.runtime.log.isEmpty)
    }

    @Test func `pause and resume follow the states`() async throws {
        let house = try House(), id = try await house.create()
        #expect(
            await house.send(.POST, "/v1/sandboxes/\(id)/resume").json?["code"] == .string("DOCKER::SANDBOX_NOT_PAUSED")
        )
        #expect(await house.send(.POST, "/v1/sandboxes/\(id)/pause").status == 202)
        #expect(await house.send(.POST, "/v1/sandboxes/\(id)/pause").status == 409)
        guard case .notReady = house.routes.lookup(sandbox: id, port: 80) else { return #expect(Bool(false)) }
        #expect(await house.send(.POST, "/v1/sandboxes/\(id)/resume").status == 202)
        guard case .found(_) = house.routes.lookup(sandbox: id, port: 80) else { return #expect(Bool(false)) }
        house.runtime.fail("pause")
        #expect(await house.send(.POST, "/v1/sandboxes/\(id)/pause").status == 500)
        #expect(house.service.catalog[id]?.status.state == .running)
        let history = house.service.catalog[id]?.history.map(\.reason)
        #expect(
            history == [
                "CREATING", "CONTAINER_RUNNING", "PAUSE_REQUESTED", "CONTAINER_PAUSED", "RESUME_REQUESTED",
                "CONTAINER_RUNNING", "PAUSE_REQUESTED", "PAUSE_FAILED",
            ])
    }

    @Test func `delete takes everything, and can be repeated after a failure`() async throws {
        let house = try House(), id = try await house.create()
        house.runtime.fail("delete")
        #expect(await house.send(.DELETE, "/v1/sandboxes/\(id)").status == 500)
        #expect(await house.send(.GET, "/v1/sandboxes/\(id)").json?["status", "state"] == .string("Stopping"))
        #expect(await house.send(.POST, "/v1/sandboxes/\(id)/pause").status == 404)
        house.runtime.state.withLock { $0.failing = [] }
        #expect(await house.send(.DELETE, "/v1/sandboxes/\(id)").status == 204)
        #expect(await house.send(.DELETE, "/v1/sandboxes/\(id)").json?["code"] == .string("DOCKER::SANDBOX_NOT_FOUND"))
        #expect(house.runtime.left.isEmpty && house.egress.policies.withLock { $0.isEmpty })
        #expect(house.routes.lookup(sandbox: id, port: 80) == .unknown)
    }

    @Test func `a deletion that hangs is answered, goes on and holds up neither others nor a start`() async throws {
        let house = try House(), id = try await house.create()
        house.runtime.deletion.close()
        do throws(APIError) {
            try await house.service.delete(id, within: .milliseconds(20))
            Issue.record("it was not held up")
        } catch {
            #expect(error.status == .internalServerError && error.message.contains("goes on"), "\(error)")
        }
        #expect(await house.send(.GET, "/v1/sandboxes/\(id)").json?["status", "state"] == .string("Stopping"))
        let other = try await house.create()
        #expect(house.service.catalog[other]?.status.state == .running)
        let next = house.restarted()
        try await next.recover(within: .milliseconds(20))
        #expect(next.catalog[id]?.status.state == .stopping && next.catalog[other]?.status.state == .running)
        house.runtime.deletion.open()
        for service in [house.service, next] {
            while service.catalog[id] != nil { try await Task.sleep(for: .milliseconds(1)) }
        }
        #expect(house.runtime.left == [other])
    }

    @Test func `a deletion that fails is tried again later and later, told to whoever asks, and stops no create`()
        async throws
    {
        let house = try House(), id = try await house.create()
        house.runtime.fail("delete")
        for (attempt, pause) in [(1, 1), (2, 2), (3, 4)] {
            let before = Timestamp.now()
            #expect(await house.send(.DELETE, "/v1/sandboxes/\(id)").status == 500)
            let message = try #require(house.service.catalog[id]?.status.message)
            #expect(message.hasPrefix("attempt \(attempt) to delete it failed: "))
            #expect(message.hasSuffix("the next one follows after \(pause) s"))
            #expect(house.service.expiry.takeDue(at: before).isEmpty)
            #expect(house.service.expiry.takeDue(at: .now().adding(seconds: pause)) == [id])
        }
        #expect(house.service.catalog[id]?.history.filter { $0.state == .stopping }.count == 1)
        let events = await house.send(.GET, "/v1/sandboxes/\(id)/diagnostics/events")
        #expect(events.status == 200 && events.text.contains("attempt 3 to delete it failed"))
        let other = try await house.create()
        #expect(house.service.catalog[other]?.status.state == .running)
        house.runtime.state.withLock { $0.failing = [] }
        #expect(await house.send(.DELETE, "/v1/sandboxes/\(id)").status == 204)
        #expect(house.runtime.left == [other])
    }

    @Test func `a store that refuses, as on a full disk, keeps nobody from making room`() async throws {
        let house = try House(), id = try await house.create()
        house.store.failing.withLock { $0 = true }
        #expect(await house.send(.DELETE, "/v1/sandboxes/\(id)").status == 500, "it is not forgotten yet")
        #expect(house.runtime.left.isEmpty, "but it is gone")
        #expect(house.service.catalog[id]?.status.state == .stopping)
        house.store.failing.withLock { $0 = false }
        #expect(await house.send(.DELETE, "/v1/sandboxes/\(id)").status == 204)
        #expect(house.store.rows.withLock { $0.isEmpty })
    }

    @Test func `what there is no room for, or nothing to hold, is refused before anything is made`() async throws {
        let house = try House()
        house.runtime.fail("admit")
        let full = await house.send(.POST, "/v1/sandboxes", House.body())
        #expect(full.status == 429 && full.json?["code"] == .string("SANDBOX::CAPACITY_EXHAUSTED"))
        #expect(full.text.contains("nearly full"))
        house.runtime.state.withLock { $0.failing = ["disk"] }
        let limited = House.body().replacing(#""resourceLimits":{}"#, with: #""resourceLimits":{"disk":"64Mi"}"#)
        let unheld = await house.send(.POST, "/v1/sandboxes", limited)
        #expect(unheld.status == 400 && unheld.text.contains("resourceLimits.disk"))
        #expect(house.runtime.log.isEmpty && house.store.rows.withLock { $0.isEmpty })
    }

    @Test func `renew sets the end, sooner or later, but not into the past`() async throws {
        let house = try House(), id = try await house.create()
        let soon = Timestamp.now().adding(seconds: 300)
        let answer = await house.send(.POST, "/sandboxes/\(id)/renew-expiration", #"{"expiresAt":"\#(soon)"}"#)
        #expect(answer.status == 200 && answer.json?["expiresAt"] == .string("\(soon)"))
        #expect(house.service.catalog[id]?.expiresAt == soon)
        for (text, status) in [("2020-01-01T00:00:00Z", 400), ("soon", 422)] {
            #expect(
                await house.send(.POST, "/sandboxes/\(id)/renew-expiration", #"{"expiresAt":"\#(text)"}"#).status
                    == status)
        }
        #expect(await house.send(.POST, "/sandboxes/\(id)/renew-expiration", "{}").status == 422)
        let body = House.body().replacing(#""timeout":600"#, with: #""timeout":null"#)
        guard case .string(let manual)? = await house.send(.POST, "/v1/sandboxes", body).json?["id"] else {
            return #expect(Bool(false))
        }
        let kept = await house.send(.POST, "/sandboxes/\(manual)/renew-expiration", #"{"expiresAt":"\#(soon)"}"#)
        #expect(kept.status == 409 && kept.json?["code"] == .string("DOCKER::INVALID_EXPIRATION"))
    }

    @Test(arguments: [
        ("9999-12-31T23:59:60Z", 422), ("9999-12-31T23:59:59-00:01", 422), ("10000-01-01T00:00:00Z", 422),
        ("9999-12-31T23:59:59Z", 422), ("2999-01-01T00:00:00Z", 422), ("TEN YEARS", 422), ("NINE YEARS", 400),
    ]) func `a renewal goes no further than a create`(_ text: String, _ status: Int) async throws {
        let house = try House(maxTimeout: 1000), id = try await house.create()
        let years = ["TEN YEARS": 10, "NINE YEARS": 9][text].map { Timestamp.now().adding(seconds: $0 * 366 * 86_400) }
        let before = house.service.catalog[id]?.expiresAt
        let body = #"{"expiresAt":"\#(years.map { "\($0)" } ?? text)"}"#
        let answer = await house.send(.POST, "/v1/sandboxes/\(id)/renew-expiration", body)
        #expect(answer.status == status && house.service.catalog[id]?.expiresAt == before, "\(answer.text)")
        let near = Timestamp.now().adding(seconds: 900)
        #expect(
            await house.send(.POST, "/v1/sandboxes/\(id)/renew-expiration", #"{"expiresAt":"\#(near)"}"#).status == 200)
    }

    @Test(arguments: [SandboxState.terminated, .failed])
    func `what has ended is not prolonged, paused or resumed`(_ state: SandboxState) async throws {
        let house = try House(), id = try await house.create()
        try await house.service.save(try house.service.sandbox(id).moved(to: state, reason: "TEST"))
        let body = #"{"expiresAt":"\#(Timestamp.now().adding(seconds: 900))"}"#
        let answer = await house.send(.POST, "/v1/sandboxes/\(id)/renew-expiration", body)
        #expect(answer.status == 409 && answer.json?["code"] == .string("DOCKER::SANDBOX_NOT_RUNNING"))
        for (change, code) in [("pause", "NOT_RUNNING"), ("resume", "NOT_PAUSED")] {
            let answer = await house.send(.POST, "/v1/sandboxes/\(id)/\(change)")
            #expect(answer.status == 409 && answer.json?["code"] == .string("DOCKER::SANDBOX_\(code)"))
        }
    }

    /// Whatever the call: what is no JSON, or is nested without end, is 400 and changes nothing.
    @Test(arguments: [
        "", "{", "[1,]", #"{"a":1,"a":2}"#, "\u{FEFF}{}", String(repeating: "[", count: 500),
        String(repeating: "{\"a\":", count: 100_000), String(repeating: "[", count: 3_000_000),
        #"{"x":"# + String(repeating: "[", count: 500) + String(repeating: "]", count: 500) + "}",
        "[" + Array(repeating: "[[[[[[[[]]]]]]]]", count: 6000).joined(separator: ",") + "],", #"{"timeout":1e999}"#,
    ]) func `a body that is no JSON is 400`(_ body: String) async throws {
        let house = try House(), id = try await house.create()
        for (method, path): (HTTPMethod, String) in [
            (.POST, "/v1/sandboxes"), (.POST, "/v1/sandboxes/\(id)/renew-expiration"),
            (.PATCH, "/v1/sandboxes/\(id)/metadata"), (.PATCH, "/v1/sandboxes/\(id)/networkpolicy"),
            (.DELETE, "/v1/sandboxes/\(id)/networkpolicy"), (.POST, "/v1/metrics/events"),
        ] {
            #expect(await house.send(method, path, body).status == 400, "\(method) \(path)")
        }
        #expect(house.service.catalog.all.map(\.id) == [id])
    }

    @Test(arguments: [
        ("/endpoints/80?expire=4000000000", "expires"), ("/endpoints/80?Expires=4000000000", "expires"),
        ("/endpoints/80?useServerProxy=true", "use_server_proxy"), ("/diagnostics/logs?tails=1", "tail"),
        ("/diagnostics/summary?eventLimit=1", "event_limit"),
    ]) func `a parameter that is a known one misspelt is 422`(_ rest: String, _ meant: String) async throws {
        let house = try House(), id = try await house.create()
        let answer = await house.send(.GET, "/v1/sandboxes/\(id)\(rest)", headers: ["host": "h"])
        #expect(answer.status == 422 && answer.text.contains("did you mean \(meant)?"), "\(answer.text)")
        for list in ["page_size=5", "states=Running", "Page=1"] {
            #expect(await house.send(.GET, "/v1/sandboxes?\(list)").status == 422, "\(list)")
        }
        #expect(await house.send(.GET, "/v1/sandboxes?whatever=5").status == 200)
    }

    /// No number that a client writes ends the process or is answered by a moment that clients cannot read.
    @Test(arguments: [
        "-9223372036854775809", "-1", "0", "253402300800", "9223372036854775807", "18446744073709551615", "1e9",
    ])
    func `a number in a query is taken, or refused`(_ number: String) async throws {
        let house = try House(), id = try await house.create(#","secureAccess":true"#)
        for rest in [
            "/endpoints/\(number)", "/endpoints/80?expires=\(number)", "/endpoints/80?once=1&expires=\(number)",
            "/diagnostics/logs?tail=\(number)", "/diagnostics/events?limit=\(number)",
        ] {
            let status = await house.send(.GET, "/v1/sandboxes/\(id)\(rest)").status
            #expect([400, 422].contains(status), "\(rest): \(status)")
        }
        for parameter in ["page", "pageSize"] {
            let answer = await house.send(.GET, "/v1/sandboxes?\(parameter)=\(number)")
            #expect(answer.status == (parameter == "page" && Int(number) ?? 0 > 0 ? 200 : 422))
        }
    }

    @Test func `metadata is set and removed by name`() async throws {
        let house = try House(), id = try await house.create(#","metadata":{"a":"1","b":"2"}"#)
        let answer = await house.send(.PATCH, "/v1/sandboxes/\(id)/metadata", #"{"a":null,"c":"3"}"#)
        #expect(answer.json?["metadata"] == .object(["b": .string("2"), "c": .string("3")]))
        let refused = await house.send(.PATCH, "/v1/sandboxes/\(id)/metadata", #"{"opensandbox.io/x":"1"}"#)
        #expect(refused.status == 400 && refused.json?["code"] == .string("INVALID_METADATA_LABEL"))
        #expect(await house.send(.PATCH, "/v1/sandboxes/\(id)/metadata", "[]").status == 422)
    }

    @Test func `metadata does not grow without end, patch by patch`() async throws {
        let house = try House(), id = try await house.create()
        func patch(_ round: Int, _ value: String) async -> (status: Int, code: JSONValue?) {
            let entries = (0..<2000).map { "\"k\(round)-\($0)\":\(value)" }.joined(separator: ",")
            let answer = await house.send(.PATCH, "/v1/sandboxes/\(id)/metadata", "{\(entries)}")
            return (Int(answer.status), answer.json?["code"])
        }
        let long = "\"" + String(repeating: "v", count: 60) + "\""
        #expect(await patch(0, long).status == 200)
        let refused = await patch(1, long)
        #expect(refused.status == 400 && refused.code == .string("INVALID_METADATA_LABEL"))
        #expect(house.service.catalog[id]?.metadata.count == 2000)
        #expect(await patch(0, "null").status == 200)
        #expect(await patch(1, long).status == 200)
    }

    @Test func `a sandbox whose entrypoint fails is failed, and no longer routed to`() async throws {
        let house = try House(), id = try await house.create()
        let follower = Task { await house.service.follow() }
        house.runtime.event.yield(.exited(SandboxEnd(id: id, entrypoint: .exited(3))))
        while house.service.catalog[id]?.status.state != .failed { try await Task.sleep(for: .milliseconds(1)) }
        let shown = await house.send(.GET, "/v1/sandboxes/\(id)")
        #expect(shown.json?["status", "reason"] == .string("ENTRYPOINT_EXITED"))
        #expect(shown.json?["status", "message"] == .string("the entrypoint ended with exit code 3"))
        let events = await house.send(.GET, "/v1/sandboxes/\(id)/diagnostics/events")
        #expect(events.text.contains("Failed ENTRYPOINT_EXITED: the entrypoint ended with exit code 3"))
        #expect(house.routes.lookup(sandbox: id, port: 80) == .unknown)
        #expect(await house.send(.DELETE, "/v1/sandboxes/\(id)").status == 204)
        follower.cancel()
    }

    @Test func `an end by a signal, or because memory ran out, is told by its reason`() async throws {
        let house = try House()
        let follower = Task { await house.service.follow() }
        defer { follower.cancel() }
        for (end, kills, state, reason) in [
            (.exited(0), 0, .terminated, "ENTRYPOINT_EXITED"), (nil, 0, .terminated, "ENTRYPOINT_EXITED"),
            (.signalled(11), 0, .failed, "ENTRYPOINT_KILLED"), (.signalled(9), 1, .failed, "OUT_OF_MEMORY"),
            (nil, 1, .failed, "OUT_OF_MEMORY"), (.exited(0), 1, .terminated, "ENTRYPOINT_EXITED"),
            (.notStarted(2, program: "/\u{1b}[31m\u{202e}"), 0, .failed, "ENTRYPOINT_EXITED"),
        ] as [(EntrypointEnd?, UInt64, SandboxState, String)] {
            let id = try await house.create()
            house.runtime.event.yield(
                .exited(SandboxEnd(id: id, entrypoint: end, memoryKills: kills, memoryLimit: 1 << 28)))
            while house.service.catalog[id]?.status.state != state { try await Task.sleep(for: .milliseconds(1)) }
            let status = try #require(house.service.catalog[id]?.status)
            #expect(status.reason == reason && !status.message.isEmpty)
            #expect(status.message.utf8.allSatisfy { (0x20..<0x7f).contains($0) })
        }
    }

    /// What the client of a create is told when its patience ends at a gate, and what becomes of it afterwards.
    private func answered(_ gate: (House) -> Gate) async throws -> (House, String, JSONValue) {
        let house = try House(patience: .milliseconds(20))
        gate(house).close()
        let answer = await house.send(.POST, "/v1/sandboxes", House.body())
        let json = try #require(answer.json)
        guard answer.status == 202, case .string(let id)? = json["id"] else {
            throw APIError(.internalServerError, "TEST", answer.text)
        }
        return (house, id, json)
    }

    @Test func `a create that is slow says what it waits for`() async throws {
        for (gate, reason) in [(\.runtime.pull, "PULLING_IMAGE"), (\.runtime.gate, "STARTING")]
            as [(KeyPath<House, Gate>, String)]
        {
            let (house, id, json) = try await answered { $0[keyPath: gate] }
            #expect(json["status", "state"] == .string("Pending") && json["status", "reason"] == .string(reason))
            #expect(await house.send(.GET, "/v1/sandboxes/\(id)").json?["status", "reason"] == .string(reason))
            house[keyPath: gate].open()
            while house.service.catalog[id]?.status.state != .running { try await Task.sleep(for: .milliseconds(1)) }
            let history = house.service.catalog[id]?.history.map(\.reason)
            #expect(history == ["CREATING", reason, "CONTAINER_RUNNING"])
        }
    }

    @Test func `a start that fails after its client was answered is told in its status`() async throws {
        let (house, id, _) = try await answered(\.runtime.gate)
        house.runtime.fail("start")
        house.runtime.gate.open()
        while house.service.catalog[id]?.status.state != .failed { try await Task.sleep(for: .milliseconds(1)) }
        #expect(house.service.catalog[id]?.status.message.contains("told to fail") == true)
    }

    @Test func `a delete at any time of a create leaves nothing, and each is told`() async throws {
        // While the image is on its way the delete does not wait for it.
        let (house, id, _) = try await answered(\.runtime.pull)
        #expect(await house.send(.DELETE, "/v1/sandboxes/\(id)").status == 204)
        #expect(await house.send(.DELETE, "/v1/sandboxes/\(id)").status == 404)
        house.runtime.pull.open()
        // While it starts the delete waits for that.
        let (other, second, _) = try await answered(\.runtime.gate)
        async let first = other.send(.DELETE, "/v1/sandboxes/\(second)").status
        async let again = other.send(.DELETE, "/v1/sandboxes/\(second)").status
        other.runtime.gate.open()
        #expect(await Set([first, again]) == [204, 404])
        for house in [house, other] {
            #expect(house.runtime.left.isEmpty && house.service.catalog.all.isEmpty)
            #expect(house.store.rows.withLock { $0.isEmpty } && house.egress.policies.withLock { $0.isEmpty })
        }
    }

    @Test func `a create whose sandbox is deleted before its client is answered says so`() async throws {
        let house = try House()
        house.runtime.pull.close()
        async let create = house.send(.POST, "/v1/sandboxes", House.body())
        while house.service.catalog.all.isEmpty { try await Task.sleep(for: .milliseconds(1)) }
        let id = house.service.catalog.all[0].id
        #expect(await house.send(.DELETE, "/v1/sandboxes/\(id)").status == 204)
        house.runtime.pull.open()
        let answer = await create
        #expect(answer.status == 409 && answer.text.contains("was deleted while it was being created"))
        #expect(house.runtime.left.isEmpty && house.service.catalog.all.isEmpty)
    }

    @Test(arguments: ["pause", "resume"])
    func `a delete during a change of state is done after it`(_ change: String) async throws {
        let house = try House(), id = try await house.create()
        if change == "resume" { _ = await house.send(.POST, "/v1/sandboxes/\(id)/pause") }
        house.runtime.gate.close()
        async let changed = house.send(.POST, "/v1/sandboxes/\(id)/\(change)").status
        while house.service.catalog[id]?.status.state != (change == "pause" ? .pausing : .resuming) {
            try await Task.sleep(for: .milliseconds(1))
        }
        async let deleted = house.send(.DELETE, "/v1/sandboxes/\(id)").status
        house.runtime.gate.open()
        #expect(await changed == 202)
        #expect(await deleted == 204)
        #expect(house.runtime.left.isEmpty && house.service.catalog.all.isEmpty)
    }

    @Test(arguments: [false, true]) func `what has expired is deleted, paused or not`(_ isPaused: Bool) async throws {
        let house = try House(), id = try await house.create()
        if isPaused { try await house.service.pause(id) }
        let follower = Task { await house.service.follow() }
        _ = try await house.service.renew(id, until: Timestamp(microseconds: Timestamp.now().microseconds + 50_000))
        while house.service.catalog[id] != nil { try await Task.sleep(for: .milliseconds(1)) }
        #expect(house.runtime.left.isEmpty)
        follower.cancel()
    }
}

@Suite struct RecoveryTests {
    @Test func `a restart finds what was acknowledged and takes away the rest`() async throws {
        let house = try House()
        let running = try await house.create(), paused = try await house.create(), gone = try await house.create()
        #expect(await house.send(.POST, "/v1/sandboxes/\(paused)/pause").status == 202)
        house.runtime.state.withLock { state in
            state.sandboxes[gone] = nil
            state.sandboxes["orphan"] = .running
            state.sandboxes["half"] = .abandoned
            state.sandboxes["leaving"] = .running
        }
        var half = Sandbox.sample("half")
        half.status = SandboxStatus(.pending, reason: StatusReason.creating)
        var leaving = Sandbox.sample("leaving")
        leaving.status = SandboxStatus(.stopping, reason: StatusReason.deleteRequested)
        var waiting = Sandbox.sample("waiting")
        waiting.status = SandboxStatus(.pending, reason: StatusReason.pullingImage)
        house.store.rows.withLock { rows in for sandbox in [half, leaving, waiting] { rows[sandbox.id] = sandbox } }

        let service = house.restarted()
        try await service.recover()
        func state(_ id: String) -> SandboxState? { service.catalog[id]?.status.state }
        #expect(state(running) == .running && state(paused) == .paused && state(gone) == .failed)
        #expect(state("half") == nil && state("leaving") == nil && state("waiting") == .failed)
        #expect(house.runtime.left == [running, paused].sorted())
        #expect(await house.egress.guarded == [running, paused, gone].sorted())
    }

    @Test func `one without a record that resists at a start is removed later`() async throws {
        let house = try House(), lost = try await house.create()
        house.store.rows.withLock { $0[lost] = nil }
        house.runtime.fail("delete")
        let service = house.restarted()
        try await service.recover()
        #expect(house.runtime.left == [lost])
        house.runtime.state.withLock { $0.failing = [] }
        #expect(try await eventually { house.runtime.left.isEmpty })
        withExtendedLifetime(service) {}
    }

    @Test func `a sandbox whose record cannot be read runs on, guarded`() async throws {
        let house = try House()
        let known = try await house.create(), unread = try await house.create()
        house.store.rows.withLock { $0[unread] = nil }
        house.store.damaged.withLock { $0 = [unread] }
        let service = house.restarted()
        try await service.recover()
        #expect(service.catalog[unread] == nil && service.catalog[known]?.status.state == .running)
        #expect(house.runtime.left == [known, unread].sorted())
        #expect(await house.egress.guarded == [known, unread].sorted())
    }
}

@Suite struct APITests {
    @Test func `without the right key nothing is said`() async throws {
        let house = try House()
        for target in ["/v1/sandboxes", "/sandboxes/x", "/metrics", "/nope", "/healthy", "/v1/health"] {
            #expect(await house.send(.GET, target, key: nil).json?["code"] == .string("MISSING_API_KEY"), "\(target)")
            #expect(
                await house.send(.GET, target, key: "wrong").json?["code"] == .string("INVALID_API_KEY"), "\(target)")
        }
        let twice = await house.send(.GET, "/v1/sandboxes", headers: [LifecycleAPI.keyHeader: "x"])
        #expect(twice.status == 401)
        #expect(await house.send(.GET, "/health", key: nil).json == .object(["status": .string("healthy")]))
        #expect(await house.send(.GET, "/version", key: nil).status == 200)
    }

    @Test(arguments: [
        (HTTPMethod.GET, "/nope", 404), (.GET, "/v1", 404), (.PUT, "/v1/sandboxes", 405),
        (.POST, "/v1/sandboxes/x", 405),
        (.GET, "/v1/sandboxes/x", 404), (.DELETE, "/v1/sandboxes/x", 404), (.POST, "/v1/sandboxes/x/pause", 404),
        (.GET, "/v1/sandboxes/x/endpoints/80", 404), (.GET, "/v1/sandboxes/x/endpoints/0", 400),
        (.GET, "/v1/sandboxes/x/endpoints/65536", 400), (.GET, "/v1/sandboxes/x/endpoints/http", 422),
        (.GET, "/v1/sandboxes/x/networkpolicy", 404), (.GET, "/v1/snapshots/x", 404), (.GET, "/v1/templates", 501),
        (.GET, "/v1/sandboxes/x/diagnostics/logs", 404), (.GET, "/v1/sandboxes/a/b/c/d", 404),
        (.POST, "/v1/metrics/events", 400), (.POST, "/metrics/events", 404), (.POST, "/v1/sandboxes", 400),
    ]) func `every refusal has code and message`(_ method: HTTPMethod, _ target: String, _ status: Int) async throws {
        let answer = try await House().send(method, target)
        #expect(answer.status == status, "\(answer.text)")
        #expect(answer.json?["code"] != nil && answer.json?["message"] != nil, "\(answer.text)")
    }

    @Test func `endpoints carry what their requests need`() async throws {
        let house = try House(), id = try await house.create(),
            closed = try await house.create(#","secureAccess":true"#)
        func endpoint(_ id: String, _ rest: String, host: String = "api:8080") async -> JSONValue? {
            await house.send(.GET, "/v1/sandboxes/\(id)/endpoints/\(rest)", headers: ["host": host]).json
        }
        let plain = JSONValue.object([
            "endpoint": .string("gw:28888"), "headers": .object(["OpenSandbox-Ingress-To": .string("\(id)-8000")]),
        ])
        #expect(await endpoint(id, "8000") == plain)
        #expect(await endpoint(id, "18080")?["headers", "OPENSANDBOX-EGRESS-AUTH"] == .string("token-of-\(id)"))
        let credential = await endpoint(closed, "8000")?["headers", "OpenSandbox-Secure-Access"]
        let again = await endpoint(closed, "9000")?["headers", "OpenSandbox-Secure-Access"]
        #expect(credential != nil && credential == again)
        let proxied = await endpoint(id, "8000?use_server_proxy=true")
        #expect(proxied == .object(["endpoint": .string("api:8080/v1/sandboxes/\(id)/proxy/8000")]))
        let unversioned = await house.send(
            .GET, "/sandboxes/\(id)/endpoints/80?use_server_proxy=true", headers: ["host": "h"])
        #expect(unversioned.json?["endpoint"] == .string("h/sandboxes/\(id)/proxy/80"))
        let expires = Timestamp.now().seconds + 60
        guard
            case .string(let signed)? = await endpoint(closed, "80?expires=\(expires)")?[
                "headers", "OpenSandbox-Ingress-To"]
        else { return #expect(Bool(false)) }
        #expect(signed.hasPrefix("\(closed)-80-"))
        #expect(await endpoint(closed, "80?expires=\(expires)")?["headers", "OpenSandbox-Secure-Access"] == nil)
        for (query, status) in [
            ("expires=x", 422), ("expires=1", 400), ("use_server_proxy=maybe", 422),
            ("use_server_proxy=true&expires=\(expires)", 400),
        ] {
            #expect(await house.send(.GET, "/v1/sandboxes/\(id)/endpoints/80?\(query)").status == status, "\(query)")
        }
    }

    @Test func `execd's token is told with its endpoint, and the gateway does not know it`() async throws {
        let house = try House(), id = try await house.create(), other = try await house.create()
        let token = try #require(house.runtime.specs[id]?.execdToken)
        #expect(house.runtime.specs[other]?.execdToken != token)
        let soon = Timestamp.now().seconds + 60
        for way in ["", "?use_server_proxy=true", "?expires=\(soon)"] {
            for port in [44772, 18080, 8000] {
                let told = await house.send(
                    .GET, "/v1/sandboxes/\(id)/endpoints/\(port)\(way)", headers: ["host": "api:8080"])
                let shown = told.json?["headers", "X-EXECD-ACCESS-TOKEN"]
                #expect(shown == (port == 44772 ? .string(token) : nil), "\(port)\(way)")
            }
        }
        for port in [44772, 18080, 8000] {
            guard case .found(let backend) = house.routes.lookup(sandbox: id, port: port) else {
                Issue.record("not found")
                continue
            }
            #expect(backend.headers.isEmpty)
        }
        let told = house.routes.opening(after: nil).messages.flatMap(\.line)
        #expect(!String(decoding: told, as: UTF8.self).contains(token))
    }

    @Test func `the network policy is changed by the API key alone`() async throws {
        let house = try House(), id = try await house.create()
        let target = "/v1/sandboxes/\(id)/networkpolicy"
        #expect(await house.send(.GET, target).json?["mode"] == .string("allow_all"))
        #expect(await house.send(.PUT, target, #"{"defaultAction":"deny"}"#).json?["mode"] == .string("deny_all"))
        let patched = await house.send(.PATCH, target, #"[{"action":"allow","target":"a.example"}]"#)
        #expect(patched.status == 200 && patched.json?["mode"] == .string("enforcing"))
        #expect(await house.send(.DELETE, target, #"["a.example"]"#).json?["mode"] == .string("deny_all"))
        for body in ["", "[]", "{", #"[{"action":"maybe","target":"a"}]"#] {
            let refused = await house.send(.PATCH, target, body)
            #expect(refused.status == 400 && refused.json?["code"] != nil, "\(body): \(refused.text)")
        }
        #expect(await house.send(.POST, target, "{}").status == 405)
    }

    @Test func `diagnostics are text for people and JSON for programs`() async throws {
        let house = try House(), id = try await house.create()
        let scoped = await house.send(.GET, "/v1/sandboxes/\(id)/diagnostics/logs?scope=container")
        #expect(scoped.json?["content"] == .string("line 1\nline 2") && scoped.json?["truncated"] == .boolean(false))
        let short = await house.send(.GET, "/v1/sandboxes/\(id)/diagnostics/logs?scope=all&tail=1")
        #expect(short.json?["content"] == .string("line 2") && short.json?["truncated"] == .boolean(true))
        #expect(await house.send(.GET, "/v1/sandboxes/\(id)/diagnostics/logs").text == "line 1\nline 2")
        #expect(await house.send(.GET, "/v1/sandboxes/\(id)/diagnostics/events?scope=runtime").text.contains("Running"))
        let summary = await house.send(.GET, "/v1/sandboxes/\(id)/diagnostics/summary").text
        #expect(summary.contains("Pending CREATING") && summary.contains("Isolation:      a wall of paper"))
        for rest in ["logs?scope=runtime", "events?scope=container"] {
            #expect(await house.send(.GET, "/v1/sandboxes/\(id)/diagnostics/\(rest)").status == 400)
        }
        #expect(await house.send(.GET, "/v1/sandboxes/\(id)/diagnostics/logs?tail=0").status == 422)
    }

    @Test func `a method that a path does not take is told those that it takes`() async throws {
        let house = try House(), key: HTTPHeaders = [LifecycleAPI.keyHeader: House.apiKey]
        func allowed(_ target: String) async -> String? {
            await house.api.http.reply(to: HTTPRequest(method: .TRACE, target: target, headers: key)).headers["allow"]
                .first
        }
        #expect(await allowed("/v1/sandboxes") == "GET, HEAD, POST")
        #expect(await allowed("/sandboxes/x/networkpolicy") == "DELETE, GET, HEAD, PATCH, PUT")
        #expect(await allowed("/v1/sandboxes/x/pause") == "POST")
        #expect(await allowed("/v1/sandboxes/x/nothing") == nil)
    }

    @Test func `HEAD is answered as GET is`() async throws {
        let house = try House(), id = try await house.create()
        #expect(await house.send(.HEAD, "/v1/sandboxes/\(id)").status == 200)
        #expect(await house.send(.HEAD, "/v1/sandboxes/none").status == 404)
        #expect(await house.send(.HEAD, "/v1/sandboxes/\(id)/pause").status == 405)
    }
}
