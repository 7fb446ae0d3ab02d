import Glibc
import Logging
import Spelling
import TestSupport
import Testing

@testable import Runtimes

@Suite struct ImageStoreTests {
    @Test func `an image is fetched with its files and what it says about running them`() async throws {
        let (fixture, server) = (try StoreFixture(), try await RegistryServer())
        try server.push(RegistryImage.create(in: fixture.folder), as: "test/app:1")
        let image = try await fixture.store().image("\(server.address)/test/app:1")
        #expect(image.reference == "\(server.address)/test/app:1")
        #expect(image.entrypoint == ["/program", "--serve"] && image.command == ["now"])
        #expect(image.environment["LANG"] == "C.UTF-8" && image.environment["EQUATION"] == "a=b")
        #expect(image.workingDirectory == "/home" && image.user == "1000:1000")
        #expect(
            ImageReference.isDigest(image.digest) && image.root.hasSuffix("files/sha256-" + image.digest.dropFirst(7)))
        #expect(contents(of: image.root + "/greeting") == "hello")
        var status = stat()
        #expect(stat(image.root + "/program", &status) == 0 && status.st_mode & 0o7777 == 0o4755)
        #expect(stat(image.root + "/home/file", &status) == 0 && status.st_uid == 1000)
        #expect(stat(image.root, &status) == 0 && status.st_mode & 0o7777 == 0o755)
        #expect(stat(image.root + "/..", &status) == 0 && status.st_mode & 0o7777 == 0o700, "no user of the host's")
        #expect(fixture.contents.count == 1, "\(fixture.contents)")
    }

    @Test func `an open image is used without its registry, also by a later store`() async throws {
        let (fixture, server) = (try StoreFixture(), try await RegistryServer())
        try server.push(RegistryImage.create(in: fixture.folder), as: "app:1")
        let reference = "\(server.address)/app:1"
        var store: ImageStore? = try await fixture.store()
        let first = try await store!.image(reference)
        server.stop()
        #expect(try await store!.image(reference) == first)
        #expect(throws: ImageError.self, "two stores do not share a folder") { try fixture.open() }
        store = nil
        let later = try await fixture.store()
        #expect(try await later.image(reference) == first)
        #expect(later.images() == [first])
        #expect(fixture.count("copy") == 1)
    }

    @Test func `what a name means is another thing when another image has it, and else the same`() async throws {
        let (fixture, server) = (try StoreFixture(), try await RegistryServer())
        try server.push(RegistryImage.create(in: fixture.folder), as: "app:1")
        let store = try await fixture.store()
        let reference = "\(server.address)/app:1"
        #expect(store.revision(of: reference) == nil && store.revision(of: "not a name") == nil)
        let first = try await store.image(reference)
        #expect(store.revision(of: reference) == .digest(first.digest))

        // A folder of this machine is built beside itself, and takes its own place.
        let root = fixture.folder + "/built", next = fixture.folder + "/next"
        mkdir(root, 0o755)
        try store.register(root: root, reference: "sallyport/built:1")
        let before = store.revision(of: "sallyport/built:1")
        #expect(before != nil && store.revision(of: "sallyport/built:1") == before)
        mkdir(next, 0o755)
        rmdir(root)
        #expect(store.revision(of: "sallyport/built:1") == nil)
        rename(next, root)
        let after = store.revision(of: "sallyport/built:1")
        #expect(after != nil && after != before)
    }

    @Test func `equal calls at the same time fetch once, and unpack once for all names of a digest`() async throws {
        let (fixture, server) = (try StoreFixture(), try await RegistryServer())
        let layout = try RegistryImage.create(in: fixture.folder)
        for name in ["app:1", "app:2", "other:1"] { try server.push(layout, as: name) }
        let store = try await fixture.store()
        let roots = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<8 { group.addTask { try await store.image("\(server.address)/app:1").root } }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(roots.count == 1 && fixture.count("copy") == 1)
        let others = try await [store.image("\(server.address)/app:2"), store.image("\(server.address)/other:1")]
        #expect(Set(others.map(\.root)) == roots && others[1].reference == "\(server.address)/other:1")
        let digest = try await store.image("\(server.address)/app:1@\(others[0].digest)")
        #expect(digest.root == others[0].root)
        #expect(fixture.count("unpack") == 1 && fixture.count("copy") == 1, "an open image is nobody's secret")
    }

    @Test func `what is not in the registry, or not for this machine, is told apart and leaves nothing`() async throws {
        let (fixture, server) = (try StoreFixture(), try await RegistryServer())
        try server.push(RegistryImage.create(in: fixture.folder, architecture: "s390x"), as: "foreign:1")
        let store = try await fixture.store()
        // The repository's name is part of skopeo's complaint.
        for name in ["unauthorized/none:1", "foreign:2", "foreign@sha256:" + String(repeating: "0", count: 64)] {
            await #expect(throws: ImageError.notFound("\(server.address)/\(name)")) {
                try await store.image("\(server.address)/\(name)")
            }
        }
        await #expect(
            throws: ImageError.unsupportedPlatform(
                "\(server.address)/foreign:1", platform: ImagePlatform.current.description)
        ) { try await store.image("\(server.address)/foreign:1") }
        server.stop()
        let failure = await #expect(throws: ImageError.self) { try await store.image("\(server.address)/foreign:3") }
        guard case .unreachable(server.address, _) = failure else { throw failure! }
        #expect(fixture.contents.isEmpty && store.images().isEmpty, "\(fixture.contents)")
    }

    @Test func `a removed image is fetched anew, and goes only when no sandbox stands on it`() async throws {
        let (fixture, server) = (try StoreFixture(), try await RegistryServer())
        let reference = "\(server.address)/app:1"
        try server.push(RegistryImage.create(in: fixture.folder), as: "app:1")
        let store = try await fixture.store()
        let first = try await store.image(reference)
        for name in ["upper", "work", "merged"] { mkdir("\(fixture.folder)/\(name)", 0o755) }
        let layers = "lowerdir=\(first.root),upperdir=\(fixture.folder)/upper,workdir=\(fixture.folder)/work"
        try Command.run("mount", "-t", "overlay", "overlay", "-o", layers, fixture.folder + "/merged")
        #expect(throws: ImageError.inUse(reference)) { try store.remove(reference) }
        #expect(store.kept().map(\.isUsed) == [true] && store.kept(reference)?.access == .open)
        try Command.run("umount", fixture.folder + "/merged")
        #expect(store.kept().map(\.isUsed) == [false])
        let claims = (store.claim(reference), store.claim(reference))
        for claim in [claims.0, claims.1] {
            #expect(throws: ImageError.inUse(reference), "a sandbox is being made of it") {
                try store.remove(reference)
            }
            store.giveBack(try #require(claim))
        }
        try store.remove(reference)
        let isGone = try await eventually { fixture.contents.isEmpty }
        #expect(isGone && store.images().isEmpty)
        #expect(throws: ImageError.notFound(reference)) { try store.remove(reference) }
        try server.push(RegistryImage.create(in: fixture.folder, greeting: "again"), as: "app:1")
        let second = try await store.image(reference)
        #expect(second.digest != first.digest && contents(of: second.root + "/greeting") == "again")
    }

    @Test func `a registered folder is an image that needs no registry and stays the caller's`() async throws {
        let fixture = try StoreFixture()
        let root = fixture.folder + "/base"
        mkdir(root, 0o755)
        let store = try await fixture.store()
        try store.register(root: root, reference: "sallyport/base", command: ["bash"], environment: ["A": "b"])
        let image = try await store.image("docker.io/sallyport/base:latest")
        #expect(image.root == root && image.command == ["bash"] && image.environment == ["A": "b"])
        #expect(throws: ImageError.self) { try store.register(root: root + "/none", reference: "sallyport/a") }
        // overlayfs would take the second part for another layer.
        mkdir(root + ":", 0o755)
        let error = #expect(throws: ImageError.self) {
            try store.register(root: root + ":/etc", reference: "sallyport/a")
        }
        #expect("\(error!)".contains("colon"))
        try store.remove("sallyport/base")
        #expect(access(root, F_OK) == 0 && store.images().isEmpty && fixture.starts.isEmpty)
    }

    @Test func `no registry is asked for this machine's own names, nor for names without one`() async throws {
        let fixture = try StoreFixture()
        let store = try await fixture.store()
        for name in ["sallyport/base", "sallyport/other:1", "docker.io/sallyport/base"] {
            let error = await #expect(throws: ImageError.self) { try await store.image(name) }
            guard case .notOnThisMachine = error else { throw error! }
            #expect("\(error!)".contains("make base-image"))
            #expect("\(error!)".contains("/usr/share/sallyport/base-image.sh"))
        }
        await #expect(throws: ImageError.unqualified("python", canonical: "docker.io/library/python:latest")) {
            try await store.image("python")
        }
        #expect(throws: ImageError.self) { try store.register(root: fixture.folder, reference: "python") }
        #expect(fixture.starts.isEmpty)
    }

    @Test func `names without a registry are of the one that is configured`() async throws {
        let (fixture, server) = (try StoreFixture(), try await RegistryServer())
        try server.push(RegistryImage.create(in: fixture.folder), as: "app:1")
        let store = try await fixture.store(unqualifiedRegistry: server.address)
        #expect(try await store.image("app:1").reference == "\(server.address)/app:1")
        let error = await #expect(throws: ImageError.self) { try await store.image("sallyport/app:1") }
        guard case .notOnThisMachine = error else { throw error! }
    }
}
