import JSON
import NIOHTTP1
import NetworkPolicy
import Runtimes
import Spelling
import Synchronization
import TestSupport
import Testing

@testable import ControlPlane

extension House {
    fileprivate func make(_ name: String = "p", image: String = "known", waiting: Int, most: Int = 50) async throws {
        try await pools.create(
            Pool(
                name: name, template: PoolTemplate(image: image),
                capacity: PoolCapacity(bufferMin: 0, bufferMax: waiting, poolMin: 0, poolMax: most), createdAt: .now()))
    }

    /// Runs `body` while the pools are kept.
    fileprivate func keeping(_ body: () async throws -> Void) async throws {
        let keeper = Task { await pools.run() }
        defer { keeper.cancel() }
        try await body()
        keeper.cancel()
        await keeper.value
    }

    fileprivate func waits(_ count: Int, _ name: String = "p") async throws -> Bool {
        try await eventually { (try? self.pools.buffer(name).available.count) == count }
    }

    fileprivate func request(_ more: String = "") throws -> CreateRequest {
        try CreateRequest(
            JSONValue(Array(#"{"extensions":{"poolRef":"p"}\#(more)}"#.utf8)), limits: RequestLimits())
    }
}

@Suite struct WarmPoolTests {
    @Test func `a sandbox waits at deny-all without a program, and its policy comes before its program`()
        async throws
    {
        let house = try House()
        try await house.make(waiting: 1)
        try await house.keeping { () async throws in
            #expect(try await house.waits(1))
            let waiting = try #require(house.runtime.specs.values.first)
            #expect(waiting.isHeld && waiting.policy == .denyAll && waiting.entrypoint.isEmpty)
            #expect(waiting.execdToken == house.routes.execdToken(of: waiting.id) && house.service.catalog.all.isEmpty)
            let sandbox = try await house.service.create(
                house.request(#","networkPolicy":{"egress":[{"action":"allow","target":"one.example"}]}"#))
            #expect(sandbox.id == waiting.id && sandbox.status.state == .running && sandbox.poolRef == "p")
            #expect(sandbox.entrypoint == PoolTemplate.idle && sandbox.image == "known")
            let policy = house.egress.policies.withLock { $0[sandbox.id] }
            #expect(policy?.rules.count == 1 && policy?.defaultAction == .deny)
            #expect(
                house.runtime.log.filter { $0.hasSuffix(sandbox.id) }
                    == ["prepare", "start", "begin"].map { "\($0) \(sandbox.id)" })
            #expect(try await house.waits(1), "another one takes its place")
        }
    }

    @Test func `one that is handed out is stored when it runs, and nothing of it stays where that fails`()
        async throws
    {
        let house = try House()
        try await house.make(waiting: 1)
        try await house.keeping { () async throws in
            #expect(try await house.waits(1))
            house.runtime.handOut.close()
            async let handedOut = house.service.create(house.request())
            let isPending = try await eventually { house.service.catalog.all.first?.status.state == .pending }
            #expect(isPending && house.store.rows.withLock({ $0.isEmpty }))
            house.runtime.handOut.open()
            let sandbox = try await handedOut
            let stored = house.store.rows.withLock { $0[sandbox.id]?.status.state }
            #expect(stored == .running)

            #expect(try await house.waits(1))
            house.store.failing.withLock { $0 = true }
            let failure = await #expect(throws: APIError.self) { try await house.service.create(house.request()) }
            #expect(failure?.status == .internalServerError)
            #expect(house.service.catalog.all.map(\.id) == [sandbox.id])
            house.store.failing.withLock { $0 = false }
        }
    }

    @Test func `what takes its place is made once it is handed out, or takes too long`() async throws {
        let house = try House()
        try await house.make("absent", image: "unknown", waiting: 1)
        try await house.make(waiting: 1)
        try await house.keeping { () async throws in
            #expect(try await house.waits(1))
            _ = try await house.service.create(house.request())
            #expect(try await house.waits(1))
            let log = house.runtime.log
            let begun = try #require(log.firstIndex { $0.hasPrefix("begin ") })
            #expect(log[..<begun].filter { $0.hasPrefix("prepare ") }.count == 1, "\(log)")

            house.runtime.handOut.close()
            async let hanging = house.service.create(house.request())
            #expect(try await house.waits(0))
            #expect(try await house.waits(1), "one that hangs keeps no pool from being filled")
            house.runtime.handOut.open()
            #expect(try await hanging.status.state == .running)
        }
    }

    @Test func `where none waits, one is made at once, and a full pool refuses`() async throws {
        let house = try House()
        try await house.make(waiting: 0, most: 1)
        let sandbox = try await house.service.create(house.request())
        #expect(sandbox.poolRef == "p" && house.runtime.specs[sandbox.id]?.isHeld == false)
        let full = await #expect(throws: APIError.self) { try await house.service.create(house.request()) }
        #expect(full?.status == .tooManyRequests)
        try await house.service.delete(sandbox.id)
        _ = try await house.service.create(house.request())
    }

    @Test func `one that waits has every variable, so that who does without one gets another`() async throws {
        let house = try House()
        try await house.make(waiting: 1)
        try await house.keeping { () async throws in
            #expect(try await house.waits(1))
            let waiting = try house.pools.buffer("p").available
            let sandbox = try await house.service.create(house.request(#","env":{"COLOUR":null,"SIZE":"1"}"#))
            #expect(!waiting.contains(sandbox.id))
            let spec = house.runtime.specs[sandbox.id]
            #expect(spec?.absentVariables == ["COLOUR"] && spec?.environment == ["SIZE": "1"])
        }
    }

    @Test func `the sandboxes that wait are made again when another image has its name`() async throws {
        let house = try House(imageInterval: .milliseconds(5))
        house.runtime.state.withLock { $0.image = "first" }
        try await house.make(waiting: 2)
        try await house.keeping { () async throws in
            #expect(try await house.waits(2))
            let old = try house.pools.buffer("p").available
            house.runtime.state.withLock { $0.image = "second" }
            #expect(try await eventually { Set(house.runtime.left).isDisjoint(with: old) })
            #expect(try await house.waits(2))
            let new = try house.pools.buffer("p").available
            house.runtime.state.withLock { $0.image = nil }
            let sandbox = try await house.service.create(house.request())
            #expect(new.contains(sandbox.id), "one of which nothing is known is kept")
        }
    }

    @Test func `no request gets one that was made from another image than the pool's`() async throws {
        let house = try House(imageInterval: .seconds(3600))
        house.runtime.state.withLock { $0.image = "first" }
        try await house.make(waiting: 1)
        try await house.keeping { () async throws in
            #expect(try await house.waits(1))
            let old = try house.pools.buffer("p").available[0]
            house.runtime.state.withLock { $0.image = "second" }
            let sandbox = try await house.service.create(house.request())
            #expect(sandbox.id != old && sandbox.status.state == .running)
        }
    }

    @Test func `one that cannot begin is removed, and the request gets another`() async throws {
        let house = try House()
        try await house.make(waiting: 1)
        try await house.keeping { () async throws in
            #expect(try await house.waits(1))
            house.runtime.fail("begin")
            let first = try house.pools.buffer("p").available[0]
            await #expect(throws: APIError.self) {
                // The second may be warm as well.
                while true { _ = try await house.service.create(house.request()) }
            }
            #expect(house.runtime.log.contains("delete \(first)") && house.service.catalog[first] == nil)
            #expect(!house.egress.policies.withLock { $0.keys.contains(first) })
        }
    }

    @Test func `a use that cannot be stored leaves nothing`() async throws {
        let house = try House()
        try await house.make(waiting: 1)
        try await house.keeping { () async throws in
            #expect(try await house.waits(1))
            let id = try house.pools.buffer("p").available[0]
            house.store.failing.withLock { $0 = true }
            await #expect(throws: APIError.self) { try await house.service.create(house.request()) }
            // It is stored when it runs, and ends where that fails.
            #expect(house.runtime.log.contains("delete \(id)") && house.service.catalog[id] == nil)
        }
        #expect(house.runtime.left.isEmpty)
    }

    @Test func `an image that is not there is tried again later, and costs other pools nothing`() async throws {
        let house = try House()
        try await house.make("absent", image: "unknown", waiting: 3)
        try await house.make(waiting: 2)
        try await house.keeping { () async throws in
            #expect(try await house.waits(2))
            #expect(try house.pools.buffer("absent").available.isEmpty)
        }
    }

    @Test func `a pool that is deleted takes along what waits, and what was being made`() async throws {
        let house = try House()
        try await house.make(waiting: 2)
        try await house.keeping { () async throws in
            #expect(try await house.waits(2))
            house.runtime.gate.close()
            _ = try await house.pools.resize("p", PoolCapacity(bufferMin: 0, bufferMax: 4, poolMin: 0, poolMax: 9))
            #expect(try await eventually { house.runtime.left.count == 4 })
            try await house.pools.delete("p")
            house.runtime.gate.open()
            #expect(try await eventually { house.runtime.left.isEmpty })
        }
    }

    @Test func `a server that ends removes what waits`() async throws {
        let house = try House()
        try await house.make(waiting: 3)
        try await house.keeping { () async throws in #expect(try await house.waits(3)) }
        #expect(house.runtime.left.isEmpty && house.egress.policies.withLock { $0.isEmpty })
        #expect(house.poolStore.rows.withLock { $0.keys.sorted() } == ["p"], "the pool itself stays")
    }

    @Test func `a change that cannot be stored is none`() async throws {
        let house = try House()
        try await house.make(waiting: 0)
        house.poolStore.failing.withLock { $0 = true }
        await #expect(throws: APIError.self) { try await house.make("other", waiting: 1) }
        await #expect(throws: APIError.self) {
            try await house.pools.resize("p", PoolCapacity(bufferMin: 0, bufferMax: 9, poolMin: 0, poolMax: 9))
        }
        await #expect(throws: APIError.self) { try await house.pools.delete("p") }
        #expect(house.pools.all.map(\.pool.name) == ["p"] && house.pools.all[0].pool.capacity.bufferMax == 0)
    }

    @Test(arguments: [
        #","image":{"uri":"other"}"#, #","resourceLimits":{"cpu":"3"}"#,
    ]) func `what the pool has not is refused`(_ more: String) async throws {
        let house = try House()
        try await house.make(waiting: 0)
        let refusal = await #expect(throws: APIError.self) { try await house.service.create(house.request(more)) }
        #expect(refusal?.status == .badRequest)
        #expect(try house.pools.buffer("p").total == 0)
    }

    @Test func `what official clients ask for by default is what a pool has by default`() async throws {
        let house = try House()
        try await house.make(waiting: 0)
        let asked =
            #","image":{"uri":"known"},"entrypoint":["tail","-f","/dev/null"],"resourceLimits":{"cpu":"1","memory":"2Gi"}"#
        let sandbox = try await house.service.create(house.request(asked))
        #expect(sandbox.status.state == .running)
    }
}
