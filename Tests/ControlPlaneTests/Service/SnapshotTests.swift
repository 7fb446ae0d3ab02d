import FoundationEssentials
import HTTPServer
import JSON
import NIOHTTP1
import NetworkPolicy
import Runtimes
import Synchronization
import Testing

@testable import ControlPlane

extension House {
    /// The rows of the store's snapshots.
    fileprivate var rows: [Snapshot] { everything.snapshotTable.rows.withLock { Array($0.values) } }

    /// The id of a snapshot that is being taken, or has been.
    fileprivate func capture(_ sandbox: String, _ body: String = "") async throws -> String {
        let answer = await send(.POST, "/v1/sandboxes/\(sandbox)/snapshots", body)
        guard answer.status == 202, case .string(let id)? = answer.json?["id"] else {
            throw APIError(.internalServerError, "TEST", answer.text)
        }
        return id
    }

    /// The same, when it is ready.
    fileprivate func captured(_ sandbox: String, _ body: String = "") async throws -> String {
        let id = try await capture(sandbox, body)
        await service.captures.end(of: sandbox)
        return id
    }

    fileprivate func state(_ id: String) -> SnapshotState? { service.snapshots[id]?.state }

    fileprivate static func restore(_ id: String, _ change: String = "") -> String {
        #"{"snapshotId":"\#(id)","timeout":600,"resourceLimits":{}\#(change)}"#
    }
}

@Suite struct SnapshotTests {
    @Test func `it is accepted at once, taken afterwards, and shown without nulls`() async throws {
        let house = try House()
        let sandbox = try await house.create()
        house.runtime.capture.close()
        let answer = await house.send(.POST, "/sandboxes/\(sandbox)/snapshots", #"{"name":"before"}"#)
        let json = try #require(answer.json)
        #expect(answer.status == 202 && !json.hasNull && json["sandboxId"] == .string(sandbox), "\(answer.text)")
        #expect(
            json["status", "state"] == .string("Creating") && json["status", "reason"] == .string("snapshot_accepted"))
        #expect(json["status", "message"] == .string("Snapshot creation accepted."))
        #expect(json["status", "lastTransitionAt"] == json["createdAt"] && json["name"] == .string("before"))
        guard case .string(let id)? = json["id"] else { return #expect(Bool(false)) }
        #expect(await house.send(.DELETE, "/v1/snapshots/\(id)").json?["code"] == .string("SNAPSHOT::INVALID_STATE"))
        #expect(
            await house.send(.POST, "/v1/sandboxes", House.restore(id)).json?["code"] == .string("SNAPSHOT::NOT_READY"))
        let second = await house.send(.POST, "/v1/sandboxes/\(sandbox)/snapshots")
        #expect(second.status == 409 && second.json?["code"] == .string("SNAPSHOT::RUNTIME_CREATE_CONFLICT"))
        house.runtime.capture.open()
        await house.service.captures.end(of: sandbox)
        let ready = await house.send(.GET, "/v1/snapshots/\(id)")
        #expect(ready.json?["status", "state"] == .string("Ready"))
        #expect(
            ready.json?["status", "reason"] == .string("snapshot_runtime_ready")
                && ready.json?["createdAt"] == json["createdAt"])
        #expect(house.rows.map(\.state) == [.ready])
        #expect(await house.send(.DELETE, "/v1/snapshots/\(id)").status == 204)
        #expect(house.rows.isEmpty && house.runtime.state.withLock { $0.snapshots.isEmpty })
        #expect(await house.send(.GET, "/v1/snapshots/\(id)").json?["code"] == .string("SNAPSHOT::NOT_FOUND"))
        #expect(await house.send(.DELETE, "/v1/snapshots/\(id)").status == 404)
    }

    @Test func `a pause waits for a copy without holding up a deletion`() async throws {
        let house = try House()
        let sandbox = try await house.create()
        house.runtime.capture.close()
        _ = try await house.capture(sandbox)
        async let pause = house.send(.POST, "/v1/sandboxes/\(sandbox)/pause")
        // Whatever needs the sandbox's lock gets it meanwhile.
        #expect(await house.send(.PATCH, "/v1/sandboxes/\(sandbox)/metadata", #"{"a":"b"}"#).status == 200)
        house.runtime.capture.open()
        #expect(await pause.status == 202)
    }

    @Test func `a server that ends takes no copy with it`() async throws {
        let house = try House()
        let sandbox = try await house.create()
        house.runtime.capture.close()
        let id = try await house.capture(sandbox)
        async let ended: Void = house.service.endCaptures()
        house.runtime.capture.open()
        await ended
        #expect(!house.service.captures.isAtWork(sandbox) && house.state(id) != .creating)
    }

    @Test func `so many are taken at once, and a key has so many`() async throws {
        var keys = APIKeys.none
        let text = try keys.create("ci", .operate)
        let house = try House(keys: keys)
        house.runtime.capture.close()
        var statuses: [Int] = []
        for _ in 0..<3 {
            let made = await house.send(.POST, "/v1/sandboxes", House.body(), key: text)
            guard case .string(let id)? = made.json?["id"] else { return #expect(Bool(false), "\(made.text)") }
            statuses.append(await house.send(.POST, "/v1/sandboxes/\(id)/snapshots", key: text).status)
        }
        #expect(statuses == [202, 202, 429])
        for expected in [202, 202, 429] {
            let id = try await house.create()
            #expect(await house.send(.POST, "/v1/sandboxes/\(id)/snapshots").status == expected)
        }
        house.runtime.capture.open()
    }

    @Test func `the answer says where it is, with the version wherever it was asked for`() async throws {
        let house = try House()
        for prefix in ["", "/v1"] {
            let sandbox = try await house.create()
            let id = try await house.captured(sandbox)
            let reply = await house.api.http.reply(
                to: HTTPRequest(
                    method: .POST, target: "\(prefix)/sandboxes/\(sandbox)/snapshots",
                    headers: [LifecycleAPI.keyHeader: House.apiKey]))
            let place = try #require(reply.headers.first(name: "location"))
            #expect(place.hasPrefix("/v1/snapshots/") && place != "/v1/snapshots/\(id)")
        }
    }

    @Test func `a restored sandbox gets what its own request says and the files of the snapshot`() async throws {
        let house = try House()
        let source = try await house.create(
            #","metadata":{"a":"b"},"env":{"SECRET":"x"},"networkPolicy":{"defaultAction":"deny"}"#)
        let id = try await house.captured(source)
        #expect(await house.send(.DELETE, "/v1/sandboxes/\(source)").status == 204)
        let answer = await house.send(.POST, "/v1/sandboxes", House.restore(id, #","metadata":{"c":"d"}"#))
        #expect(
            answer.status == 202 && answer.json?["snapshotId"] == nil && answer.json?["image"] == nil, "\(answer.text)")
        guard case .string(let restored)? = answer.json?["id"] else { return #expect(Bool(false), "\(answer.text)") }
        let shown = try #require(await house.send(.GET, "/v1/sandboxes/\(restored)").json)
        #expect(shown["snapshotId"] == .string(id) && shown["image"] == nil && !shown.hasNull)
        #expect(shown["entrypoint"] == .array([.string("tail"), .string("-f"), .string("/dev/null")]))
        #expect(shown["metadata"] == .object(["c": .string("d")]))
        let spec = try #require(house.runtime.specs[restored])
        #expect(spec.source == .snapshot(id) && spec.environment.isEmpty && spec.policy == .allowAll)
        #expect(spec.labels.metadata == ["c": "d"])
        let named = await house.send(.POST, "/v1/sandboxes", House.restore(id, #","entrypoint":["sh"]"#))
        #expect(named.json?["entrypoint"] == .array([.string("sh")]))
        let again = try await house.captured(restored)
        #expect(house.service.snapshots[again]?.image == "known", "a restore of a restore")
    }

    @Test func `what cannot be captured or restored is refused with the contract's codes`() async throws {
        let house = try House()
        let sandbox = try await house.create()
        func code(_ method: HTTPMethod, _ target: String, _ body: String = "") async -> String {
            let answer = await house.send(method, target, body)
            guard case .string(let code)? = answer.json?["code"] else { return answer.text }
            return "\(answer.status) \(code)"
        }
        let target = "/v1/sandboxes/\(sandbox)/snapshots"
        #expect(await code(.POST, "/v1/sandboxes/none/snapshots", "{}") == "404 DOCKER::SANDBOX_NOT_FOUND")
        #expect(await code(.POST, target, #"{"name":""}"#) == "422 INVALID_REQUEST")
        #expect(await code(.POST, target, #"{"name":7}"#) == "422 INVALID_REQUEST")
        #expect(await code(.POST, target, #"{"nane":"x"}"#) == "422 INVALID_REQUEST")
        #expect(
            await code(.POST, target, #"{"name":"\#(String(repeating: "x", count: 1025))"}"#) == "422 INVALID_REQUEST")
        #expect(await code(.POST, target, "[]") == "422 INVALID_REQUEST")
        #expect(await code(.POST, target, "{") == "400 INVALID_REQUEST")
        #expect(await code(.POST, "/v1/sandboxes", House.restore("none")) == "404 SNAPSHOT::NOT_FOUND")
        #expect(
            await code(.POST, "/v1/sandboxes", House.restore("none", #","image":{"uri":"known"}"#))
                == "422 INVALID_REQUEST")
        #expect(
            await code(.POST, "/v1/sandboxes", House.restore("none", #","entrypoint":[]"#)) == "422 INVALID_REQUEST")
        #expect(house.rows.isEmpty && house.service.catalog.all.count == 1)
        let id = try await house.captured(sandbox)
        house.runtime.state.withLock { $0.snapshots = [] }
        #expect(await code(.POST, "/v1/sandboxes", House.restore(id)) == "409 SNAPSHOT::INVALID_RESTORE_CONFIG")
        await house.service.heard(.exited(SandboxEnd(id: sandbox, entrypoint: .exited(0))))
        #expect(await code(.POST, target) == "409 SNAPSHOT::INVALID_SOURCE_STATE")
        #expect(house.service.catalog.all.count == 1, "nothing is left of a create that was refused")
    }

    @Test func `a paused sandbox is captured, and pausing and resuming wait for a capture`() async throws {
        let house = try House()
        let sandbox = try await house.create()
        #expect(await house.send(.POST, "/v1/sandboxes/\(sandbox)/pause").status == 202)
        house.runtime.capture.close()
        let id = try await house.capture(sandbox)
        let resume = Task { await house.send(.POST, "/v1/sandboxes/\(sandbox)/resume").status }
        #expect(await house.send(.GET, "/v1/sandboxes/\(sandbox)").json?["status", "state"] == .string("Paused"))
        house.runtime.capture.open()
        #expect(await resume.value == 202)
        #expect(
            house.state(id) == .ready && house.runtime.log.suffix(2) == ["capture \(sandbox)", "resume \(sandbox)"])
    }

    @Test func `a deletion waits for a capture, which is what is left`() async throws {
        let house = try House()
        let sandbox = try await house.create()
        house.runtime.capture.close()
        let id = try await house.capture(sandbox)
        let deletion = Task { await house.send(.DELETE, "/v1/sandboxes/\(sandbox)").status }
        house.runtime.capture.open()
        #expect(await deletion.value == 204 && house.state(id) == .ready)
        #expect(house.runtime.log.suffix(2) == ["capture \(sandbox)", "delete \(sandbox)"])
    }

    @Test func `a capture that is called off has failed, and says why`() async throws {
        let house = try House()
        let sandbox = try await house.create()
        house.runtime.capture.close()
        let id = try await house.capture(sandbox)
        await house.service.captures.callOff(sandbox)
        #expect(house.state(id) == .failed && house.service.snapshots[id]?.message.contains("deleted") == true)
        house.runtime.capture.open()
        #expect(await house.send(.DELETE, "/v1/snapshots/\(id)").status == 204)
    }

    @Test func `a capture that fails is told as failed and can be deleted`() async throws {
        let house = try House()
        let sandbox = try await house.create()
        house.runtime.fail("capture")
        let id = try await house.captured(sandbox)
        let shown = await house.send(.GET, "/v1/snapshots/\(id)")
        #expect(shown.json?["status", "state"] == .string("Failed"))
        #expect(shown.json?["status", "reason"] == .string("snapshot_runtime_failed"))
        #expect(shown.text.contains("told to fail"))
        #expect(await house.send(.POST, "/v1/sandboxes", House.restore(id)).status == 409)
        #expect(await house.send(.DELETE, "/v1/snapshots/\(id)").status == 204)
    }

    @Test func `a store that fails promises nothing, and keeps nobody from deleting`() async throws {
        let house = try House()
        let sandbox = try await house.create()
        let table = house.everything.snapshotTable
        table.failing.withLock { $0 = true }
        #expect(await house.send(.POST, "/v1/sandboxes/\(sandbox)/snapshots").status == 500)
        #expect(house.service.snapshots.all.isEmpty && !house.service.captures.isAtWork(sandbox))
        table.failing.withLock { $0 = false }
        house.runtime.capture.close()
        let lost = try await house.capture(sandbox)
        table.failing.withLock { $0 = true }
        house.runtime.capture.open()
        await house.service.captures.end(of: sandbox)
        #expect(house.state(lost) == .failed && house.runtime.state.withLock { $0.snapshots.isEmpty })
        table.failing.withLock { $0 = false }
        #expect(await house.send(.DELETE, "/v1/snapshots/\(lost)").status == 204)
        let id = try await house.captured(sandbox)
        table.failing.withLock { $0 = true }
        #expect(await house.send(.DELETE, "/v1/snapshots/\(id)").status == 500)
        #expect(house.runtime.state.withLock { $0.snapshots.isEmpty }, "its space is free")
        table.failing.withLock { $0 = false }
        #expect(await house.send(.DELETE, "/v1/snapshots/\(id)").status == 204)
    }

    @Test func `a deletion that fails leaves it ready`() async throws {
        let house = try House()
        let id = try await house.captured(try await house.create())
        house.runtime.fail("forget")
        let answer = await house.send(.DELETE, "/v1/snapshots/\(id)")
        #expect(answer.status == 500 && answer.json?["code"] == .string("DOCKER::SNAPSHOT_IMAGE_REMOVE_FAILED"))
        #expect(house.state(id) == .ready && house.rows.map(\.state) == [.ready])
        #expect(await house.send(.POST, "/v1/sandboxes", House.restore(id)).status == 202)
    }

    @Test func `lists are filtered, newest first, in pages`() async throws {
        let house = try House()
        let sandboxes = [try await house.create(), try await house.create()]
        var ids: [String] = []
        for number in 0..<5 {
            let name = number < 2 ? #"{"name":"twin"}"# : number == 2 ? "{}" : ""
            ids.append(try await house.captured(sandboxes[number % 2], name))
        }
        house.runtime.fail("capture")
        ids.append(try await house.captured(sandboxes[0]))
        func list(_ query: String) async -> [String] {
            guard case .array(let items)? = await house.send(.GET, "/v1/snapshots?" + query).json?["items"] else {
                return []
            }
            return items.compactMap { item in
                guard case .string(let id)? = item["id"] else { return nil }
                return ids.firstIndex(of: id).map(String.init)
            }
        }
        #expect(await list("") == ["5", "4", "3", "2", "1", "0"])
        #expect(await list("sandboxId=\(sandboxes[1])") == ["3", "1"])
        #expect(await list("name=twin") == ["1", "0"])
        #expect(await list("name=twi").isEmpty)
        #expect(await list("state=Failed") == ["5"])
        #expect(await list("state=Ready&state=failed&pageSize=2&page=2") == ["3", "2"])
        #expect(await list("state=Unheard").isEmpty)
        let page = await house.send(.GET, "/snapshots?state=Ready&pageSize=3")
        #expect(
            page.json?["pagination", "totalItems"] == .integer(5)
                && page.json?["pagination", "hasNextPage"] == .boolean(true))
        #expect(await house.send(.GET, "/v1/snapshots?page=0").status == 422)
        #expect(await house.send(.GET, "/v1/snapshots?sandboxid=x").status == 422, "a misspelt filter")
    }

    @Test func `the next server finishes what was begun, and takes away what no record knows`() async throws {
        let house = try House()
        let sandbox = try await house.create()
        let (kept, leaving) = (try await house.captured(sandbox), try await house.captured(sandbox))
        house.runtime.capture.close()
        let half = try await house.capture(sandbox)
        var whole = try #require(house.service.snapshots[half])
        whole.id = "whole"
        let table = house.everything.snapshotTable
        table.rows.withLock { rows in
            rows["whole"] = whole
            rows[leaving]?.state = .deleting
        }
        house.runtime.state.withLock { $0.snapshots.formUnion(["whole", "nobodys"]) }
        let next = house.restarted()
        try await next.recover()
        #expect(next.snapshots[kept]?.state == .ready && next.snapshots[leaving] == nil)
        #expect(
            next.snapshots[half]?.reason == "snapshot_recovery_missing_image" && next.snapshots[half]?.state == .failed)
        #expect(
            next.snapshots["whole"]?.reason == "snapshot_recovery_ready" && next.snapshots["whole"]?.state == .ready)
        #expect(house.runtime.state.withLock { $0.snapshots } == [kept, "whole"])
        await house.service.captures.callOff(sandbox)
    }

    @Test func `what an engine finished after its snapshot had failed is removed`() async throws {
        let house = try House()
        let id = try await house.captured(try await house.create())
        house.everything.snapshotTable.rows.withLock { $0[id]?.state = .failed }
        let next = house.restarted()
        try await next.recover()
        #expect(house.runtime.state.withLock { $0.snapshots.isEmpty })
        #expect(next.snapshots[id]?.state == .failed)
    }

    @Test func `a snapshot whose record cannot be read keeps its files`() async throws {
        let house = try House()
        let id = try await house.captured(try await house.create())
        let table = house.everything.snapshotTable
        table.rows.withLock { $0 = [:] }
        table.damaged.withLock { $0 = [id] }
        try await house.restarted().recover()
        #expect(house.runtime.state.withLock { $0.snapshots } == [id])
    }
}
