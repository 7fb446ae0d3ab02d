import TestSupport
import Testing

@testable import Runtimes

@Suite struct OwnContainerTests {
    private static let id = "0b5cf4f0-7d56-4a8c-9d41-0a8e8e2f1c11"

    /// What an engine tells of a container of the sandbox.
    private static func facts(_ container: String, owner: String) -> String {
        """
        {"Id":"\(container)","Image":"sha256:1","HostConfig":{},"State":{"Status":"running","Running":true,"Paused":false,
        "Restarting":false,"OOMKilled":false,"Pid":7,"ExitCode":0},
        "Config":{"Labels":{"opensandbox.io/id":"\(id)","opensandbox.io/owner":"\(owner)"}}}
        """
    }

    private func found(
        _ part: DockerNames.Part, _ answer: @escaping @Sendable (_ request: String) -> (status: Int, body: String)?
    ) async throws -> (id: String?, requests: [String]) {
        let server = try HookServer(answering: answer)
        defer { server.stop() }
        let engine = EngineClient(try EngineAddress("tcp://127.0.0.1:\(server.port)"), patience: 10)
        let found = try await OwnContainer(sandbox: Self.id, part: part, owner: "me").find(engine)
        return (found?.id, server.requests)
    }

    @Test func `a container with its own name is asked for once`() async throws {
        let answer = try await found(.workload) { _ in (200, Self.facts("abc", owner: "me")) }
        #expect(answer.id == "abc" && answer.requests.count == 1)
        #expect(answer.requests.first?.hasPrefix("GET /containers/sandbox-\(Self.id)/json ") == true)
    }

    @Test(arguments: [DockerNames.Part.workload, .sidecar])
    func `one with another name is found by its labels and its volume, whoever has its name`(
        _ part: DockerNames.Part
    ) async throws {
        for taken in [false, true] {
            let answer = try await found(part) { request in
                if request.hasPrefix("GET /containers/json?") { return (200, #"[{"Id":"abc"},{"Id":"def"}]"#) }
                if request.hasPrefix("GET /containers/abc/") { return (404, "") }
                if request.hasPrefix("GET /containers/def/") { return (200, Self.facts("def", owner: "me")) }
                return taken ? (200, Self.facts("foreign", owner: "another")) : (404, "")
            }
            #expect(answer.id == "def")
            let list = try #require(answer.requests.first { $0.hasPrefix("GET /containers/json?all=true&filters=") })
            let volume = part == .sidecar ? "opensandbox-egress-\(Self.id)" : "opensandbox-runtime-\(Self.id)"
            #expect(list.contains(volume) && list.contains(part.rawValue))
        }
    }

    @Test func `where there is none, nothing of another's is taken for it`() async throws {
        let answer = try await found(.workload) { request in
            if request.hasPrefix("GET /containers/json?") { return (200, #"[{"Id":"foreign"}]"#) }
            return (200, Self.facts("foreign", owner: "another"))
        }
        #expect(answer.id == nil)
    }
}
