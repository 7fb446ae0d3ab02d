import FoundationEssentials
import Glibc
import Logging
import TestSupport
import Testing

@testable import Runtimes

@Suite struct InterruptedImageTests {
    @Test func `an unpacking that fails or is killed leaves nothing, and the next one succeeds`() async throws {
        let (fixture, server) = (try StoreFixture(), try await RegistryServer())
        try server.push(RegistryImage.create(in: fixture.folder), as: "app:1")
        for ending in ["echo no space left >&2; exit 1", "kill -9 $$"] {
            let store = try await fixture.store(umoci: "mkdir -p $last/half; \(ending)")
            let error = await #expect(throws: ImageError.self) { try await store.image("\(server.address)/app:1") }
            if ending.contains("exit 1") { #expect("\(error!)".contains("no space left")) }
            #expect(fixture.contents.isEmpty && store.images().isEmpty)
        }
        #expect(contents(of: try await fixture.store().image("\(server.address)/app:1").root + "/greeting") == "hello")
    }

    @Test func `what a crash has left is swept, and what is whole is kept`() async throws {
        let (fixture, server) = (try StoreFixture(), try await RegistryServer())
        try server.push(RegistryImage.create(in: fixture.folder), as: "app:1")
        let whole = try await fixture.store().image("\(server.address)/app:1")
        server.stop()
        for path in ["work/x/rootfs/etc", "work/removed-x", "files/sha256-\(String(repeating: "0", count: 64))/etc"] {
            try FileManager.default.createDirectory(
                atPath: "\(fixture.folder)/store/\(path)", withIntermediateDirectories: true)
        }
        let store = try await fixture.store()
        #expect(try await store.image("\(server.address)/app:1") == whole)
        let isSwept = try await eventually { fixture.contents == ["files/sha256-" + whole.digest.dropFirst(7)] }
        #expect(isSwept, "\(fixture.contents)")
    }

    @Test func `an image whose files have gone is fetched anew, and an unreadable index is an empty one`() async throws
    {
        let (fixture, server) = (try StoreFixture(), try await RegistryServer())
        try server.push(RegistryImage.create(in: fixture.folder), as: "app:1")
        let image = try await fixture.store().image("\(server.address)/app:1")
        try FileManager.default.removeItem(atPath: image.root)
        #expect(try await fixture.store().image("\(server.address)/app:1") == image)
        try Data("{".utf8).write(to: URL(filePath: fixture.folder + "/store/index.json"))
        #expect(try await fixture.store().image("\(server.address)/app:1") == image)
        #expect(fixture.count("copy") == 3)
    }

    @Test func `a program that takes too long is ended with all it has started`() async throws {
        let fixture = try StoreFixture()
        let tool = try Tool.find("sh", package: "dash")
        let outcome = try tool.run(
            ["-c", "sleep 1000 & echo $! $$; wait"], home: fixture.folder, milliseconds: 1500)
        #expect(outcome.code == nil)
        let processes = outcome.output.split { $0.isWhitespace }.compactMap { pid_t($0) }
        #expect(processes.count == 2)
        // An ended child of nobody may wait for the machine's first process to take it away.
        for process in processes {
            let ended = try await eventually {
                let state = contents(of: "/proc/\(process)/stat")?.split(separator: ") ").last?.first
                return state == nil || state == "Z"
            }
            #expect(ended)
        }
    }

    @Test func `a tool that is missing names the package that brings it`() {
        #expect(throws: ImageError.missingTool("no-such-tool", package: "some-package")) {
            try Tool.find("no-such-tool", package: "some-package")
        }
    }
}
