import FoundationEssentials
import HTTPClient
import JSON
import Synchronization
import System

/// The engine's images: found, or fetched with a request's own credentials.
final class DockerImages: Sendable {
    private let engine: EngineClient
    private let policy: PullPolicy
    private let flights = SingleFlight<Wanted, EngineImage>()
    /// Images that were fetched with credentials, by their canonical names. Others get them from the registry, or not.
    private let restricted: Mutex<Set<String>>
    private let record: String
    /// Of the engine's machine, in the words of images; asked for once.
    private let platform = Mutex<String?>(nil)

    private struct Wanted: Hashable, Sendable {
        var reference: ImageReference
        var credentials: RegistryCredentials?
    }

    /// - Parameter folder: of the file with the names of restricted images.
    init(_ engine: EngineClient, policy: PullPolicy, folder: String) {
        self.engine = engine
        self.policy = policy
        record = folder + "/restricted-images"
        restricted = Mutex(Set((File.text(record) ?? "").split(separator: "\n").map(String.init)))
    }

    /// The image of a request.
    /// - Throws: `.image`, `.unavailable`.
    func image(_ text: String, _ credentials: RegistryCredentials?) async throws(RuntimeError) -> EngineImage {
        do throws(ImageError) {
            let wanted = Wanted(reference: try ImageReference(text), credentials: credentials)
            return try await flights.run(wanted) { [self] () throws(ImageError) in try await ready(wanted) }
        } catch {
            throw .image(reason: "\(error)", isCallersFault: error.isCallersFault)
        }
    }

    private func ready(_ wanted: Wanted) async throws(ImageError) -> EngineImage {
        let name = wanted.reference.familiar
        do throws(EngineFailure) {
            let platform = try await platform()
            let isRestricted = restricted.withLock { $0.contains("\(wanted.reference)") }
            if policy != .always, wanted.credentials == nil, !isRestricted || policy == .never,
                let found = try await find(name), found.platform == platform
            {
                return found
            }
            guard policy != .never else { throw EngineFailure(.refused(404), "not found: docker.pull_policy is never") }
            try await pull(wanted, platform: platform)
            guard let found = try await find(name) else { throw EngineFailure(.malformed, "it is gone again") }
            return found
        } catch {
            switch error.kind {
            // It is the engine that is away, not the registry.
            case .away, .cancelled, .malformed: throw .pullFailed(name, reason: "\(error)")
            case .refused: throw PullProgress.error("\(error)", for: wanted.reference, platform: "the engine's machine")
            }
        }
    }

    private func platform() async throws(EngineFailure) -> String {
        if let known = platform.withLock({ $0 }) { return known }
        let told = try await engine.get(EngineCall("GET", "info"), as: EngineInfo.self).platform
        platform.withLock { $0 = told }
        return told
    }

    func find(_ name: String) async throws(EngineFailure) -> EngineImage? {
        try await engine.find(EngineCall("GET", "images", name, "json"))
    }

    private func pull(_ wanted: Wanted, platform: String) async throws(EngineFailure) {
        let reference = wanted.reference
        var call = EngineCall(
            "POST", "images", "create",
            query: [
                ("fromImage", reference.name), ("tag", reference.digest ?? reference.tag ?? "latest"),
                ("platform", platform),
            ])
        call.registryAuth = wanted.credentials.map { $0.engineHeader(registry: reference.registry) }
        // Before it is there for anybody.
        if wanted.credentials != nil { restrict(reference) }
        do throws(EngineFailure) {
            var lines = try await engine.stream(call).lines
            while let line = try await Self.next(&lines, of: engine) {
                if let words = try PullProgress.failure(in: line) { throw EngineFailure(.refused(500), words) }
            }
        } catch {
            guard let credentials = wanted.credentials else { throw error }
            throw EngineFailure(error.kind, credentials.scrub("\(error)"))
        }
        if wanted.credentials == nil { release(reference) }
    }

    private static func next(
        _ lines: inout ResponseStream.Lines, of engine: EngineClient
    ) async throws(EngineFailure) -> [UInt8]? {
        do throws(HTTPClientError) { return try await lines.next() } catch {
            throw EngineFailure(error, engine: "\(engine.address)")
        }
    }

    private func restrict(_ reference: ImageReference) { change { $0.insert("\(reference)").inserted } }
    /// The registry has just given it to somebody without credentials.
    private func release(_ reference: ImageReference) { change { $0.remove("\(reference)") != nil } }

    private func change(_ body: (inout Set<String>) -> Bool) {
        restricted.withLock { names in
            guard body(&names) else { return }
            let text = names.sorted().map { $0 + "\n" }.joined()
            try? File.replace(record, with: Array(text.utf8), mode: 0o600)
        }
    }
}

extension EngineImage {
    var platform: String { "\(system)/\(architecture)" }
}

extension RegistryCredentials {
    /// What engines take in `X-Registry-Auth`: JSON in Base64 for URLs.
    func engineHeader(registry: String) -> String {
        let server = registry == ImageReference.defaultRegistry ? "https://index.docker.io/v1/" : registry
        let object: JSONValue = .object([
            "username": .string(username), "password": .string(password), "serveraddress": .string(server),
        ])
        return Data(object.encoded).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_")
    }
}
