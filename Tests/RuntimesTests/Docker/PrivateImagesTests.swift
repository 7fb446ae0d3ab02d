import Synchronization
import System
import TestSupport
import Testing

@testable import Runtimes

@Suite struct PrivateImagesTests {
    private let folder = TemporaryFolder("images")
    private func images() -> PrivateImages { PrivateImages(folder: folder.path) }

    @Test func `an image that came with credentials is closed, by whatever name, for later servers too`() throws {
        let known = images()
        let fetch = try #require(try known.begin("r.example/a:1", before: ["sha256:old"], asOf: known.changes))
        #expect(!known.isOpen("sha256:new"), "it may be what comes")
        #expect(known.isOpen("sha256:old"))
        try known.end(fetch, ("sha256:new", "r.example/a"))
        #expect(!known.isOpen("sha256:new") && !images().isOpen("sha256:new"))
        try known.release("sha256:new")
        #expect(images().isOpen("sha256:new"))
    }

    @Test func `credentials that nobody checks close nothing that was open`() throws {
        let known = images()
        let fetch = try #require(try known.begin("r.example/a:1", before: ["sha256:old"], asOf: known.changes))
        try known.end(fetch, ("sha256:old", "r.example/a"))
        #expect(known.isOpen("sha256:old"))
    }

    @Test func `a fetch that ends late closes nothing that everybody could have meanwhile`() throws {
        let known = images()
        let fetch = try #require(try known.begin("r.example/a:1", before: [], asOf: known.changes))
        try known.release("sha256:new")
        #expect(known.isOpen("sha256:new"))
        try known.end(fetch, ("sha256:new", "r.example/a"))
        #expect(known.isOpen("sha256:new") && images().isOpen("sha256:new"))
    }

    @Test func `a fetch that fails closes nothing`() throws {
        let known = images()
        let fetch = try #require(try known.begin("r.example/a:1", before: [], asOf: known.changes))
        try known.end(fetch, nil)
        #expect(known.isOpen("sha256:new") && images().unsettled.isEmpty)
    }

    @Test func `a fetch whose end a server has not seen is settled by the next`() throws {
        _ = try images().begin("r.example/a:1", before: [], asOf: 0)
        let next = images()
        #expect(next.unsettled == ["r.example/a:1"])
        try next.settle("r.example/a:1", ("sha256:new", "r.example/a"))
        #expect(!next.isOpen("sha256:new") && images().unsettled.isEmpty)
    }

    @Test func `a registry that names another's image gives nobody that image`() throws {
        let known = images()
        let fetch = try #require(try known.begin("r.example/a:1", before: [], asOf: known.changes))
        try known.end(fetch, ("sha256:new", "r.example/a"))
        #expect(known.isOfAnother("sha256:new", than: "evil.example/a"))
        #expect(!known.isOfAnother("sha256:new", than: "r.example/a"))
        #expect(!known.isOfAnother("sha256:other", than: "evil.example/a"))
    }

    @Test func `what the engine no longer has is forgotten, unless something has come meanwhile`() throws {
        let known = images()
        let fetch = try #require(try known.begin("r.example/a:1", before: [], asOf: known.changes))
        try known.end(fetch, ("sha256:new", "r.example/a"))
        let earlier = known.changes
        _ = try known.begin("r.example/b:1", before: [], asOf: earlier - 1)
        #expect(!known.isOpen("sha256:new"), "that list is older than the image")
        let later = images()
        try later.settle("r.example/b:1", nil)
        _ = try later.begin("r.example/c:1", before: [], asOf: later.changes)
        #expect(!(File.text(folder.path + "/private-images") ?? "").contains("sha256:new"))
    }
}

@Suite struct WantedJobsTests {
    private final class Count: Sendable {
        let value = Mutex(0)
    }

    @Test func `equal jobs are done once, and with the last who waits a job is cancelled`() async throws {
        let jobs = WantedJobs<Int, Int, Never>(), begun = Count(), ended = Count()
        let callers = (0..<3).map { _ in
            Task {
                await jobs.run(1) {
                    begun.value.withLock { $0 += 1 }
                    while !Task.isCancelled { await Task.yield() }
                    ended.value.withLock { $0 += 1 }
                    return 7
                }
            }
        }
        while begun.value.withLock({ $0 }) == 0 { await Task.yield() }
        callers[0].cancel()
        #expect(await callers[0].value == nil, "who is cancelled waits no longer")
        callers[1].cancel()
        callers[2].cancel()
        #expect(await callers[2].value == nil)
        while ended.value.withLock({ $0 }) == 0 { await Task.yield() }
        #expect(await jobs.run(1) { 8 } == 8, "the next one begins anew")
    }

    @Test func `who was cancelled before begins nothing that stays`() async {
        let jobs = WantedJobs<Int, Int, Never>()
        let caller = Task {
            while !Task.isCancelled { await Task.yield() }
            return await jobs.run(1) { 7 }
        }
        caller.cancel()
        #expect(await caller.value == nil)
        #expect(await jobs.run(1) { 8 } == 8)
    }
}
