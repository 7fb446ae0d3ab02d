import HTTPServer
import JSON
import NIOCore
import NIOHTTP1
import Runtimes
import Synchronization
import Testing

@testable import ControlPlane

/// What happens when more sandboxes are asked for than are made at once, and to those that could not be made.
@Suite struct CreateQueueTests {
    @Test func `creates wait for those before them in their order, and what is called off waits for nobody`() async {
        let queue = CreateQueue(CreateLimits(running: 1, waiting: 2))
        #expect(
            queue.enter("a", of: nil) && queue.enter("b", of: nil) && queue.enter("c", of: nil)
                && !queue.enter("d", of: nil))
        #expect(await queue.turn("a"))
        #expect(!queue.isWaiting("a") && queue.isWaiting("b"))
        queue.leave("b")
        #expect(await !queue.turn("b"), "it has given up its place")
        #expect(queue.enter("d", of: nil) && !queue.enter("e", of: nil))
        queue.leave("a")
        #expect(await queue.turn("c"))
        queue.leave("c")
        queue.leave("c")
        #expect(await queue.turn("d"))
        queue.leave("d")
        #expect(queue.enter("e", of: nil), "every place has been given back")
    }

    @Test func `a named key leaves room for the others, and the server's own key may have all`() {
        let queue = CreateQueue(CreateLimits(running: 4, waiting: 4))
        let greedy = (0..<10).filter { queue.enter("g\($0)", of: "greedy") }
        #expect(greedy.count == 4 && !queue.isWaiting("g1") && queue.isWaiting("g2"))
        #expect(queue.enter("other", of: "modest") && !queue.isWaiting("other"))
        let own = (0..<10).filter { queue.enter("o\($0)", of: nil) }
        #expect(own.count == 3)
        for id in greedy { queue.leave("g\(id)") }
        #expect(!queue.isWaiting("o1"), "what waits comes when there is room")
    }

    @Test func `a task that is cancelled while it waits goes on at once`() async {
        let queue = CreateQueue(CreateLimits(running: 1, waiting: 1))
        #expect(queue.enter("a", of: nil) && queue.enter("b", of: nil))
        let waiting = Task { await queue.turn("b") }
        waiting.cancel()
        #expect(await waiting.value == false)
    }

    @Test func `a burst beyond the queue is told to come again, and nothing is made of it`() async throws {
        let house = try House(patience: .milliseconds(20), creates: CreateLimits(running: 1, waiting: 1))
        house.runtime.pull.close()
        func id(_ answer: (status: Int, json: JSONValue?, text: String)) throws -> String {
            guard answer.status == 202, case .string(let id)? = answer.json?["id"] else {
                throw APIError(.internalServerError, "TEST", answer.text)
            }
            return id
        }
        let first = await house.send(.POST, "/v1/sandboxes", House.body())
        #expect(first.json?["status", "reason"] == .string("PULLING_IMAGE"))
        let second = await house.send(.POST, "/v1/sandboxes", House.body())
        #expect(second.json?["status", "reason"] == .string("QUEUED"))
        let refused = await house.api.http.reply(
            to: HTTPRequest(
                method: .POST, target: "/v1/sandboxes",
                headers: [LifecycleAPI.keyHeader: House.apiKey, "content-type": "application/json"],
                body: HTTPBody(ByteBuffer(string: House.body()))))
        #expect(refused.status == .tooManyRequests && refused.headers["retry-after"] == ["1"])
        #expect(String(decoding: refused.bytes, as: UTF8.self).contains("SANDBOX::CAPACITY_EXHAUSTED"))
        #expect(house.service.catalog.all.count == 2)
        // One that waits is deleted without waiting for the other, and its place is free.
        #expect(await house.send(.DELETE, "/v1/sandboxes/\(try id(second))").status == 204)
        let third = try id(await house.send(.POST, "/v1/sandboxes", House.body()))
        house.runtime.pull.open()
        for id in [try id(first), third] {
            while house.service.catalog[id]?.status.state != .running { try await Task.sleep(for: .milliseconds(1)) }
        }
        #expect(house.runtime.left.count == 2)
    }

    @Test func `a store that refuses a create costs no place`() async throws {
        let house = try House(creates: CreateLimits(running: 1, waiting: 0))
        house.store.failing.withLock { $0 = true }
        #expect(await house.send(.POST, "/v1/sandboxes", House.body()).status == 500)
        house.store.failing.withLock { $0 = false }
        _ = try await house.create()
    }

    // MARK: what could not be made

    private func failed(_ house: House) async throws -> String {
        house.runtime.gate.close()
        let body = House.body().replacing(#""timeout":600,"#, with: "")
        let answer = await house.send(.POST, "/v1/sandboxes", body)
        guard case .string(let id)? = answer.json?["id"] else {
            throw APIError(.internalServerError, "TEST", answer.text)
        }
        house.runtime.fail("start")
        house.runtime.gate.open()
        return id
    }

    @Test func `a sandbox that could not be made is shown with its reason, and can be deleted`() async throws {
        let house = try House(patience: .milliseconds(20)), id = try await failed(house)
        while house.service.catalog[id]?.status.state != .failed { try await Task.sleep(for: .milliseconds(1)) }
        let shown = await house.send(.GET, "/v1/sandboxes?state=failed").json
        guard case .array(let items)? = shown?["items"] else { return #expect(Bool(false)) }
        #expect(items.first?["status", "reason"] == .string("PROVISIONING_ERROR"))
        #expect(await house.send(.DELETE, "/v1/sandboxes/\(id)").status == 204)
    }

    @Test func `when its time is over it is gone by itself`() async throws {
        let house = try House(patience: .milliseconds(20), failuresKept: 0), id = try await failed(house)
        let follower = Task { await house.service.follow() }
        while house.service.catalog[id] != nil { try await Task.sleep(for: .milliseconds(1)) }
        #expect(house.store.rows.withLock { $0.isEmpty })
        follower.cancel()
    }

    @Test func `its time ends at its own end, if that is earlier, and no other sandbox has one`() {
        let now = Timestamp(microseconds: 1_000_000_000)
        var sandbox = Sandbox.sample("a", at: now)
        #expect(sandbox.removal(failuresKept: 60) == nil)
        sandbox.status = SandboxStatus(.failed, reason: StatusReason.createFailed, since: now)
        #expect(sandbox.removal(failuresKept: 60) == now.adding(seconds: 60))
        sandbox.expiresAt = now.adding(seconds: 10)
        #expect(sandbox.removal(failuresKept: 60) == now.adding(seconds: 10))
        sandbox.status = SandboxStatus(.failed, reason: StatusReason.lost, since: now)
        #expect(sandbox.removal(failuresKept: 1) == now.adding(seconds: 10))
        sandbox.status = SandboxStatus(.stopping, reason: StatusReason.deleteRequested, since: now)
        #expect(sandbox.removal(failuresKept: 1) == nil)
    }
}
