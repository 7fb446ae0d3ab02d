import Logging
import Netfilter
import NetworkPolicy
import System
import TestSupport
import Testing

@testable import Runtimes

/// Guards nothing: nothing comes to be here.
private struct NoGuard: NamespaceGuard {
    func protect(_ id: String, namespace: NetworkNamespace, policy: Policy) async throws(RuntimeError) {}
    func replace(_ id: String, with policy: Policy) async throws(RuntimeError) {}
    func release(_ id: String) async {}
    var guarded: [String] { [] }
}

@Suite struct DockerRuntimeTests {
    private let id = "0b5cf4f0-7d56-4a8c-9d41-0a8e8e2f1c11"

    private func runtime(_ engine: HookServer, _ folder: TemporaryFolder) throws -> DockerRuntime {
        var configuration = DockerConfiguration(
            execdPath: "/bin/true", stateDirectory: folder.path, namespaceDirectory: folder.path + "/netns")
        configuration.engine = try EngineAddress("tcp://127.0.0.1:\(engine.port)")
        configuration.sidecar = SidecarSettings(image: "guard")
        return try DockerRuntime(
            configuration, namespaceGuard: NoGuard(), owner: "me", logger: Logger(label: "test"))
    }

    @Test func `a create of an id that is there is refused, and takes nothing from who has it`() async throws {
        let folder = TemporaryFolder("docker"), engine = try HookServer(statuses: [404])
        let runtime = try runtime(engine, folder)
        try File.write(Array("a moment".utf8), to: folder.path + "/begun/" + id, mode: 0o600)
        let spec = SandboxSpec(
            id: id, source: .image("tool:1"), entrypoint: ["sleep"], policy: .allowAll,
            labels: SandboxLabels(owner: "me", id: id))
        await #expect(throws: RuntimeError.alreadyExists(id)) { try await runtime.create(spec) { _ in } }
        #expect(runtime.hasBegun(id) && !engine.requests.contains { $0.hasPrefix("DELETE") })
    }

    @Test func `a deletion that was cut short behind its container leaves no image of a deleted snapshot`() async throws
    {
        let folder = TemporaryFolder("docker")
        let image = "sha256:" + String(repeating: "a", count: 64)
        let engine = try HookServer { request in
            if request.hasPrefix("GET /containers/json") { return (200, "[]") }
            if request.hasPrefix("GET /volumes") { return (200, #"{"Volumes":[]}"#) }
            if request.hasPrefix("DELETE /images/") { return (200, "[]") }
            guard request.hasPrefix("GET /images/") else { return (404, "") }
            return (
                200,
                """
                {"Id":"\(image)","Os":"linux","Architecture":"amd64","RepoTags":[],
                "Config":{"Labels":{"sallyport.io/snapshot-owner":"me"}}}
                """
            )
        }
        try File.makeFolder(folder.path + "/leaving-images", mode: 0o700)
        try File.write(Array(image.utf8), to: folder.path + "/leaving-images/" + id, mode: 0o600)
        let runtime = try runtime(engine, folder)
        #expect(try await runtime.owned().isEmpty)
        #expect(engine.requests.contains { $0.hasPrefix("DELETE /images/sha256") })
        #expect(File.names(in: folder.path + "/leaving-images") == [])
    }
}
