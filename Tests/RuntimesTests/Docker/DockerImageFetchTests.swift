import Synchronization
import TestSupport
import Testing

@testable import Runtimes

@Suite struct DockerImageFetchTests {
    /// An engine that says nothing to who wants a pull unless it `pulls`, and has the image when it is told to.
    private final class Engine: Sendable {
        private let hasImage: Flag
        let server: HookServer

        private final class Flag: Sendable { let value = Mutex(false) }

        init(architecture: String = "amd64", pulls: Bool = false) throws {
            let image = """
                {"Id":"sha256:\(String(repeating: "a", count: 64))","Os":"linux","Architecture":"\(architecture)",
                "RepoTags":["r.example/a:1"]}
                """
            let hasImage = Flag()
            self.hasImage = hasImage
            server = try HookServer { request in
                if request.hasPrefix("GET /info") {
                    return (200, #"{"OSType":"linux","Architecture":"x86_64","ServerVersion":"1"}"#)
                }
                let isThere = hasImage.value.withLock { $0 }
                if request.hasPrefix("GET /images/json") { return (200, isThere ? "[\(image)]" : "[]") }
                if request.hasPrefix("GET /images/") { return isThere ? (200, image) : (404, "") }
                return pulls ? (200, #"{"status":"Pull complete"}"#) : nil
            }
        }

        func store() { hasImage.value.withLock { $0 = true } }

        func images(_ folder: TemporaryFolder, lateness: Duration) throws -> DockerImages {
            DockerImages(
                EngineClient(try EngineAddress("tcp://127.0.0.1:\(server.port)"), patience: 60), policy: .missing,
                folder: folder.path, lateness: lateness)
        }

        func isAsked(times: Int) async throws -> Bool {
            try await eventually { server.requests.count { $0.hasPrefix("POST /images/create") } >= times }
        }
    }

    private let folder = TemporaryFolder("docker-fetches")
    private let credentials = RegistryCredentials(username: "u", password: "tops3cret")

    @Test func `what a fetch that was called off brings after that is nobody else's`() async throws {
        let engine = try Engine(), images = try engine.images(folder, lateness: .seconds(3600))
        let wanted = Task { try? await images.image("r.example/a:1", credentials, for: "red") }
        #expect(try await engine.isAsked(times: 1))
        wanted.cancel()
        #expect(await wanted.value == nil)
        engine.store()
        // Who has no credentials has to ask the registry, though the engine has it.
        let other = Task { try? await images.image("r.example/a:1", nil, for: "blue") }
        #expect(try await engine.isAsked(times: 2))
        other.cancel()
        #expect(await other.value == nil)
        engine.server.stop()
    }

    @Test func `an image that is there for other processors is fetched`() async throws {
        for (architecture, asks) in [("amd64", 0), ("arm64", 1)] {
            let engine = try Engine(architecture: architecture), images = try engine.images(folder, lateness: .zero)
            engine.store()
            let wanted = Task { try? await images.image("r.example/a:1", nil, for: "red") }
            if asks == 0 { #expect(await wanted.value != nil) } else { #expect(try await engine.isAsked(times: asks)) }
            wanted.cancel()
            _ = await wanted.value
            #expect(engine.server.requests.count { $0.hasPrefix("POST /images/create") } == asks)
            engine.server.stop()
        }
    }

    @Test func `an image that the registry has for other processors alone is the caller's to correct`() async throws {
        let engine = try Engine(architecture: "arm64", pulls: true)
        let images = try engine.images(folder, lateness: .zero)
        engine.store()
        await #expect {
            _ = try await images.image("r.example/a:1", nil, for: "red")
        } throws: {
            guard case .image(let reason, isCallersFault: true) = $0 as? RuntimeError else { return false }
            return reason.contains("not available for linux/amd64")
        }
        #expect(engine.server.requests.contains { $0.contains("platform=linux%2Famd64") })
        engine.server.stop()
    }

    @Test func `a key that calls its fetches off has a bounded number of them, and another its own`()
        async throws
    {
        let engine = try Engine(), images = try engine.images(folder, lateness: .seconds(3600))
        for number in 1...AbandonedFetches.most {
            let wanted = Task { try? await images.image("r.example/b:\(number)", credentials, for: "red") }
            #expect(try await engine.isAsked(times: number))
            wanted.cancel()
            _ = await wanted.value
        }
        await #expect {
            _ = try await images.image("r.example/b:100", credentials, for: "red")
        } throws: {
            guard case .noCapacity(let reason) = $0 as? RuntimeError else { return false }
            return reason.contains("\(AbandonedFetches.most) images")
        }
        let other = Task { try? await images.image("r.example/b:100", credentials, for: "blue") }
        #expect(try await engine.isAsked(times: AbandonedFetches.most + 1))
        other.cancel()
        _ = await other.value
        engine.server.stop()
    }
}
