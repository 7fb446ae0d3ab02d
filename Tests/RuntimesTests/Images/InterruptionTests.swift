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

    /// R3: a layer of a megabyte becomes a thousand of them, or a million files.
    @Test(arguments: [
        ("", true), ("head -c 15m /dev/zero > $last/big", false),
        ("i=0; while [ $i -lt 300 ]; do : > $last/$i; i=$((i + 1)); done", false),
    ]) func `an image that would fill the disk of the server is given up before it does`(
        _ files: String, _ fits: Bool
    ) async throws {
        let (fixture, server) = (try StoreFixture(), try await RegistryServer())
        try server.push(RegistryImage.create(in: fixture.folder), as: "app:1")
        mkdir(fixture.folder + "/store", 0o700)
        try Command.run("mount", "-t", "tmpfs", "-o", "size=16m,nr_inodes=320", "tmpfs", fixture.folder + "/store")
        defer { try? Command.run("umount", "-l", fixture.folder + "/store") }
        let store = try await fixture.store(umoci: "mkdir -p $last; \(files)\n\(fits ? "" : "sleep 1000")")
        if fits {
            #expect(try await store.image("\(server.address)/app:1").root != "")
        } else {
            let error = await #expect(throws: ImageError.self) { try await store.image("\(server.address)/app:1") }
            guard case .tooLarge = error else { return #expect(Bool(false), "\(error!)") }
            let isGone = try await eventually { fixture.contents.isEmpty }
            #expect(isGone, "\(fixture.contents)")
        }
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
