import Glibc
import Logging
import TestSupport
import Testing

@testable import Runtimes

@Suite struct RestrictedImageTests {
    private let right = RegistryCredentials(username: "anna", password: "correct-horse-7\"\\ é")
    private let wrong = RegistryCredentials(username: "anna", password: "wrong-horse-8")

    private func server() async throws -> RegistryServer {
        try await RegistryServer(user: RegistryServer.User(name: right.username, password: right.password))
    }

    @Test func `an image fetched with credentials is only for those who have them`() async throws {
        let (fixture, server) = (try StoreFixture(), try await server())
        try server.push(RegistryImage.create(in: fixture.folder), as: "secret:1")
        let reference = "\(server.address)/secret:1"
        let store = try await fixture.store()
        let image = try await store.image(reference, credentials: right)
        let before = fixture.contents
        for credentials in [nil, wrong, RegistryCredentials(username: "eve", password: right.password)] {
            await #expect(throws: ImageError.unauthorized(reference)) {
                try await store.image(reference, credentials: credentials)
            }
            await #expect(throws: ImageError.unauthorized("\(server.address)/secret@\(image.digest)")) {
                try await store.image("\(server.address)/secret@\(image.digest)", credentials: credentials)
            }
        }
        #expect(try await store.image(reference, credentials: right) == image)
        let digest = try await store.image("\(server.address)/secret@\(image.digest)", credentials: right)
        #expect(digest.root == image.root)
        #expect(fixture.count("copy") == 1 && fixture.contents == before)
        server.stop()
        let error = await #expect(throws: ImageError.self) { try await store.image(reference, credentials: right) }
        guard case .unreachable = error else { throw error! }
    }

    @Test func `a wrong password leaves nothing behind`() async throws {
        let (fixture, server) = (try StoreFixture(), try await server())
        try server.push(RegistryImage.create(in: fixture.folder), as: "secret:1")
        let store = try await fixture.store()
        let before = fixture.contents
        for credentials in [nil, wrong] {
            await #expect(throws: ImageError.unauthorized("\(server.address)/secret:1")) {
                try await store.image("\(server.address)/secret:1", credentials: credentials)
            }
        }
        #expect(before.isEmpty && fixture.contents == before && store.images().isEmpty)
    }

    @Test func `callers at the same time each get what is theirs`() async throws {
        let (fixture, server) = (try StoreFixture(), try await server())
        try server.push(RegistryImage.create(in: fixture.folder), as: "secret:1")
        let store = try await fixture.store()
        let address = server.address
        let results = await withTaskGroup(of: (Int, Bool).self) { group in
            for caller in 0..<9 {
                let credentials = [right, wrong, nil][caller % 3]
                group.addTask {
                    (caller % 3, (try? await store.image("\(address)/secret:1", credentials: credentials)) != nil)
                }
            }
            return await group.reduce(into: [(Int, Bool)]()) { $0.append($1) }
        }
        #expect(results.count == 9 && results.allSatisfy { ($0.0 == 0) == $0.1 })
        #expect(fixture.count("copy") == 1)
    }

    /// Whoever knows the manifest of a private image can serve it from a registry of his own.
    @Test func `another registry's word for a manifest opens no one's layers`() async throws {
        let (fixture, server) = (try StoreFixture(), try await server())
        let layout = try RegistryImage.create(in: fixture.folder)
        try server.push(layout, as: "secret:1")
        let store = try await fixture.store()
        let image = try await store.image("\(server.address)/secret:1", credentials: right)
        let other = try await RegistryServer()
        try other.push(layout, as: "mine:1")
        try other.loseLayers()
        await #expect(throws: ImageError.self) { try await store.image("\(other.address)/mine:1") }
        #expect(fixture.count("copy") > 1, "the registry has named the manifest, and it was not enough")
        #expect(store.images() == [image])
        try other.push(layout, as: "mine:2")
        #expect(try await store.image("\(other.address)/mine:2").root == image.root, "control: who has the layers")
        #expect(fixture.count("unpack") == 1)
    }

    @Test func `a tag that has moved gives the new image`() async throws {
        let (fixture, server) = (try StoreFixture(), try await server())
        try server.push(RegistryImage.create(in: fixture.folder), as: "secret:1")
        let store = try await fixture.store()
        let first = try await store.image("\(server.address)/secret:1", credentials: right)
        try server.push(RegistryImage.create(in: fixture.folder, greeting: "new"), as: "secret:1")
        let second = try await store.image("\(server.address)/secret:1", credentials: right)
        #expect(contents(of: second.root + "/greeting") == "new")
        #expect(access(first.root, F_OK) == 0, "a sandbox may be about to stand on it; a later start sweeps it")
    }

    @Test func `a password is on no command line, in no environment, file, error or description`() async throws {
        let (fixture, server) = (try StoreFixture(), try await server())
        try server.push(RegistryImage.create(in: fixture.folder), as: "secret:1")
        let store = try await fixture.store()
        _ = try await store.image("\(server.address)/secret:1", credentials: right)
        let error = await #expect(throws: ImageError.self) {
            try await store.image("\(server.address)/secret:2", credentials: wrong)
        }
        #expect(!fixture.starts.isEmpty)
        try Command.run(
            "sh", "-c", "! grep -rqE 'correct-horse|wrong-horse' \(fixture.folder)/store \(fixture.folder)/starts")
        #expect(fixture.count("skopeo mode=600 ") == 3 && fixture.count("mode=") == 4, "\(fixture.starts)")
        #expect(fixture.starts.allSatisfy { $0.contains("PATH=") && !$0.contains("SWIFT") })
        for text in [
            "\(error!)", "\(right)", String(reflecting: right), "\([right as Any])",
            "\(Mirror(reflecting: right).children.count)",
        ] {
            #expect(!text.contains("horse"))
        }
        #expect(right.scrub("a correct-horse-7\"\\ é b YW5uYTpjb3JyZWN0LWhvcnNlLTciXCDDqQ== c") == "a … b … c")
    }
}

@Suite struct RegistryTests {
    @Test(arguments: [
        ("127.0.0.1:5000", true), ("127.9.9.9", true), ("localhost:80", true), ("[::1]:80", true),
        ("127.0.0.1.example.org", false), ("127.example.org:80", false), ("localhost.example.org", false),
        ("10.0.0.1:80", false), ("[::2]:80", false), ("docker.io", false),
    ])
    func `only loopback is spoken to without TLS unasked`(registry: String, expected: Bool) {
        #expect(Registry.isLoopback(registry) == expected)
    }

    @Test(arguments: [
        ("reading manifest 1 in ghcr.io/a/b: denied", ImageError.unauthorized("ghcr.io/a/b:1")),
        ("reading manifest 1 in ghcr.io/a/b: manifest unknown", .notFound("ghcr.io/a/b:1")),
        (
            "pinging container registry ghcr.io: Get \"https://ghcr.io/v2/\": http: server gave HTTP response to HTTPS client",
            .unreachable(
                registry: "ghcr.io", reason: "it has no TLS: add it to local.insecure_registries if that is intended")
        ),
        (
            "open /x: permission denied\u{1b}[2J",
            .pullFailed("ghcr.io/a/b:1", reason: #"open /x: permission denied\u{1b}[2J"#)
        ),
    ])
    func `skopeo's complaints are told apart`(complaint: String, error: ImageError) throws {
        #expect(try Registry.error("warning\n" + complaint + "\n", for: ImageReference("ghcr.io/a/b:1")) == error)
    }
}
