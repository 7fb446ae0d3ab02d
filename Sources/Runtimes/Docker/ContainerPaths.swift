import FoundationEssentials
import HTTPClient
import JSON
import Spelling

/// Where paths of a container really lead: its image may have links in them, and so may volumes that are mounted on the way.
struct ContainerPaths: Sendable {
    let engine: EngineClient
    /// The name of a container that does not run yet.
    let container: String

    /// What is at a path.
    enum Place: Hashable, Sendable {
        case nothing
        /// With the place that it leads to at last, from the container's root.
        case link(String)
        case something
    }

    /// A path without links.
    func real(_ path: PathSteps) async throws(EngineFailure) -> PathSteps {
        var real = try Self.steps("/")
        for (number, step) in path.steps.enumerated() {
            let next = try Self.steps(real.text + "/" + step.text)
            switch try await place("/" + next.text) {
            case .nothing:
                let rest = path.steps.dropFirst(number).map(\.text).joined(separator: "/")
                return try Self.steps(real.text + "/" + rest)
            case .link(let target): real = try Self.steps(target)
            case .something: real = next
            }
        }
        return real
    }

    private func place(_ path: String) async throws(EngineFailure) -> Place {
        var call = EngineCall("HEAD", "containers", container, "archive", query: [("path", path)])
        call.expected = [404]
        let answer = try await engine.send(call)
        guard answer.status != 404 else { return .nothing }
        return try Self.place(answer.head["X-Docker-Container-Path-Stat"] ?? "")
    }

    /// - Parameter header: JSON in Base64.
    static func place(_ header: String) throws(EngineFailure) -> Place {
        struct Told: Decodable { var linkTarget: String? }
        guard let bytes = Data(base64Encoded: header) else {
            throw EngineFailure(.malformed, "the engine does not say what is at a container's path")
        }
        let told: Told = try EngineClient.read(Array(bytes))
        return told.linkTarget.flatMap { $0.isEmpty ? nil : .link($0) } ?? .something
    }

    private static func steps(_ text: String) throws(EngineFailure) -> PathSteps {
        do throws(PathProblem) { return try PathSteps(text) } catch {
            throw EngineFailure(.malformed, "a path of the container \(error.reason)")
        }
    }
}
