import Foundation
import Logging
import Netfilter
import NetworkPolicy
import Spelling
import Synchronization
import TestSupport
import Testing

@testable import Runtimes

/// A guard that notes what it is asked for, and what there was of the sandbox at that moment.
final class NotingGuard: NamespaceGuard {
    struct Asked: Sendable {
        let id: String
        let policy: Policy
        let state: EngineState
    }

    let asked = Mutex<[Asked]>([])
    let refuses = Mutex<RuntimeError?>(nil)
    private let engine: LocalEngine
    private let sandboxes = Mutex<Set<String>>([])

    init(_ engine: LocalEngine) { self.engine = engine }

    func protect(_ id: String, namespace: NetworkNamespace, policy: Policy) async throws(RuntimeError) {
        let state = await engine.state(of: id)
        asked.withLock { $0.append(Asked(id: id, policy: policy, state: state)) }
        if let error = refuses.withLock({ $0 }) { throw error }
        guard namespace.exists else { throw .unguarded("there is no namespace") }
        sandboxes.withLock { _ = $0.insert(id) }
    }

    func replace(_ id: String, with policy: Policy) async throws(RuntimeError) {
        let state = await engine.state(of: id)
        asked.withLock { $0.append(Asked(id: id, policy: policy, state: state)) }
        if let error = refuses.withLock({ $0 }) { throw error }
    }

    func release(_ id: String) async { sandboxes.withLock { _ = $0.remove(id) } }
    var guarded: [String] { get async { sandboxes.withLock { $0.sorted() } } }
}

extension TestRuntime {
    func layers() throws -> LayerStore {
        try LayerStore(directory: folder + "/snapshots", logger: Logger(label: "test"))
    }

    func runtime(_ namespaceGuard: NotingGuard, owner: String = "ours") throws -> LocalRuntime {
        let layers = try layers()
        let images = try ImageStore(
            directory: folder + "/images-\(UInt32.random(in: 0 ... .max))", logger: Logger(label: "test")
        ) { layers.holds(image: $0) }
        try images.register(
            root: image, reference: "sallyport/test:latest", environment: ["BOTH": "image", "IMAGE": "yes"])
        return LocalRuntime(
            engine: runtime, images: images, layers: layers, namespaceGuard: namespaceGuard, owner: owner)
    }

    func spec(_ id: String, image: String = "sallyport/test:latest", owner: String = "ours") -> SandboxSpec {
        SandboxSpec(
            id: id, source: .image(image),
            entrypoint: ["/bin/sh", "-c", "echo $BOTH $IMAGE $ASKED; exec sleep 1000"],
            environment: ["BOTH": "request", "ASKED": "yes"], policy: .denyAll,
            labels: SandboxLabels(owner: owner, id: id))
    }
}

@Suite(.serialized) struct LocalRuntimeTests {
    @Test func `a sandbox is guarded when its network is there and nothing runs`() async throws {
        try await TestRuntime.run { test async throws in
            let namespaceGuard = NotingGuard(test.runtime), runtime = try test.runtime(namespaceGuard)
            let stages = Mutex<[CreateStage]>([])
            let placement = try await runtime.create(test.spec("order-1")) { stage in
                stages.withLock { $0.append(stage) }
            }
            let asked = namespaceGuard.asked.withLock { $0 }
            #expect(asked.map(\.state) == [.prepared] && asked.map(\.policy) == [.denyAll])
            #expect(stages.withLock { $0 } == [.imageReady])
            guard case .namespace(let path) = placement.attachment, case .machine = placement.reach else {
                return #expect(Bool(false), "\(placement)")
            }
            #expect(NetworkNamespace(existing: path).exists)
            // Which image it was made of is told once.
            var seen = placement
            seen.image = nil
            #expect(placement.image != nil)
            #expect(try await runtime.observe("order-1") == SandboxObservation(.running, placement: seen))
            let isInside = try runtime.inside("order-1") { try RouteSocket().index(of: SandboxLink.sandboxLink) > 0 }
            let printed = try await eventually { test.log("order-1").contains("request yes yes") }
            #expect(isInside && printed, "the request's variables go before the image's")
            try await runtime.delete("order-1")
            #expect(await namespaceGuard.guarded.isEmpty && test.traces.isEmpty)
            #expect(try await runtime.observe("order-1") == SandboxObservation(.missing))
        }
    }

    @Test(arguments: ["policy", "guard", "image", "snapshot", "disk", "cancelled"])
    func `what fails leaves nothing, and says whose fault it is`(_ failure: String) async throws {
        try await TestRuntime.run { test async throws in
            let namespaceGuard = NotingGuard(test.runtime), runtime = try test.runtime(namespaceGuard)
            var spec = test.spec("fails-1")
            if failure == "image" { spec.source = .image("sallyport/none:latest") }
            if failure == "snapshot" { spec.source = .snapshot("s") }
            // No file system is so small. It is found out while the guard is at work.
            if failure == "disk" { spec.limits.diskBytes = 1 }
            namespaceGuard.refuses.withLock {
                $0 = ["policy": .policyRefused("too long"), "guard": .unguarded("no kernel")][failure]
            }
            let asked = spec
            let create = Task { () -> RuntimeError? in
                if failure == "cancelled" { withUnsafeCurrentTask { $0?.cancel() } }
                do throws(RuntimeError) { _ = try await runtime.create(asked) { _ in } } catch { return error }
                return nil
            }
            let error = try #require(await create.value)
            let kinds: [String: RuntimeError.Kind] = [
                "policy": .request, "guard": .other, "image": .image(isCallersFault: true), "snapshot": .snapshot,
                "disk": .other, "cancelled": .other,
            ]
            #expect(error.kind == kinds[failure], "\(error)")
            #expect(await namespaceGuard.guarded.isEmpty)
            #expect(try await runtime.owned().isEmpty && test.traces.isEmpty)
        }
    }

    @Test func `what could not be removed at once goes later`() async throws {
        try await TestRuntime.run { test async throws in
            let namespaceGuard = NotingGuard(test.runtime), runtime = try test.runtime(namespaceGuard)
            _ = try await test.runtime.prepare(test.spec("later-1", "true"))
            // As while its processes do not end.
            test.runtime.state.withLock { _ = $0.busy.insert("later-1") }
            await #expect(throws: RuntimeError.self) {
                _ = try await runtime.begin(SandboxUse(id: "later-1", policy: .denyAll))
            }
            #expect(test.runtime.found("later-1") != nil)
            test.runtime.state.withLock { _ = $0.busy.remove("later-1") }
            let isGone = try await eventually { test.runtime.found("later-1") == nil }
            #expect(isGone && test.traces.isEmpty, "\(test.traces)")
        }
    }

    @Test func `it lists its own, those of earlier servers, and what only the guard has left; not another's`()
        async throws
    {
        try await TestRuntime.run { test async throws in
            let namespaceGuard = NotingGuard(test.runtime)
            let ours = try test.runtime(namespaceGuard), theirs = try test.runtime(namespaceGuard, owner: "theirs")
            _ = try await ours.create(test.spec("owner-1")) { _ in }
            _ = try await theirs.create(test.spec("owner-2", owner: "theirs")) { _ in }
            _ = try await test.runtime.prepare(test.spec("owner-3", "true"))
            let namespace = try #require(test.runtime.found("owner-1")?.namespace)
            try await namespaceGuard.protect("half-gone", namespace: namespace, policy: .denyAll)
            #expect(try await ours.owned() == ["half-gone", "owner-1", "owner-3"])
            #expect(try await theirs.owned() == ["half-gone", "owner-2", "owner-3"])
            for id in ["owner-1", "owner-2", "owner-3"] { try await ours.delete(id) }
            #expect(test.traces.isEmpty)
        }
    }
}

@Suite struct SandboxRecordTests {
    @Test func `a record of the last release is read, and is its server's own`() throws {
        let folder = FileManager.default.temporaryDirectory.path + "/spt-record-\(UInt32.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let text = """
            {"spec":{"id":"a","imageRoot":"/i","entrypoint":["x"],"environment":{"A":"b"},"workingDirectory":"/w",
            "limits":{"cpuMillis":500,"memoryBytes":67108864,"processes":64},"execdToken":"t"},
            "link":{"namespacePath":"/n/a","hostLink":"spvsp1","host":1},"users":{"first":1879048192}}
            """
        try text.write(toFile: folder + "/sandbox.json", atomically: true, encoding: .utf8)
        let record = try #require(SandboxRecord.read(from: folder))
        #expect(record.spec.owner == nil && record.spec.execdToken == "t" && record.spec.workingDirectory == "/w")
        #expect(record.link.namespacePath == "/n/a" && record.spec.limits.memoryBytes == 64 << 20)
        #expect(record.users?.first == 0x7000_0000, "an earlier default")
    }

    @Test func `no client's label takes the place of ours`() {
        var labels = SandboxLabels(
            owner: "us", id: "a",
            metadata: [
                SandboxLabels.ownerKey: "them", SandboxLabels.idKey: "b", "opensandbox.io/manual-cleanup": "false",
                "team": "x",
            ])
        labels.facts = ["manual-cleanup": "true", "id": "c"]
        let all = [
            SandboxLabels.ownerKey: "us", SandboxLabels.idKey: "a", "opensandbox.io/manual-cleanup": "true",
            "team": "x",
        ]
        #expect(labels.all == all)
    }

    @Test func `neither image nor client says which sandbox it is`() {
        let asked = SandboxSpec(
            id: "a", source: .image("i"), entrypoint: ["x"], environment: ["OPENSANDBOX_ID": "b", "A": "asked"],
            policy: .denyAll, labels: SandboxLabels(owner: "us", id: "a"))
        let image = SandboxImage(
            reference: "i", root: "/i", environment: ["OPENSANDBOX_ID": "c", "A": "image", "B": "image"])
        let spec = EngineSpec(asked, image, layers: [])
        #expect(spec.environment == ["OPENSANDBOX_ID": "a", "A": "asked", "B": "image"])
    }
}
