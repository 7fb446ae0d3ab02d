import FoundationEssentials
import HTTPClient
import JSON
import Synchronization
import System

/// The engine's images: found, or fetched with a request's own credentials.
final class DockerImages: Sendable {
    private let engine: EngineClient
    private let policy: PullPolicy
    /// How long an engine may still store an image after the request for it was broken off.
    private let lateness: Duration
    private let fetches = WantedJobs<Wanted, EngineImage, ImageError>()
    private let abandoned = AbandonedFetches()
    private let privates: PrivateImages
    /// Of the engine's machine, in the words of images; asked for once.
    private let platform = Mutex<String?>(nil)

    private struct Wanted: Hashable, Sendable {
        var reference: ImageReference
        var credentials: RegistryCredentials?

        var header: String? { credentials.map { $0.engineHeader(registry: reference.registry) } }
    }

    /// - Parameter folder: of the file with the ids of private images.
    init(_ engine: EngineClient, policy: PullPolicy, folder: String, lateness: Duration = .seconds(60)) {
        self.lateness = lateness
        self.engine = engine
        self.policy = policy
        privates = PrivateImages(folder: folder)
    }

    /// The image of a request. Fetching it ends with the last request that waits for it.
    /// - Parameter caller: as `SandboxSpec.caller`.
    /// - Throws: `.image`, `.unavailable`, `.noCapacity`, `.cancelled`.
    func image(
        _ text: String, _ credentials: RegistryCredentials?, for caller: String?
    ) async throws(RuntimeError) -> EngineImage {
        let wanted: Wanted
        do throws(ImageError) {
            wanted = Wanted(reference: try ImageReference(text), credentials: credentials)
            // A snapshot is asked for by its id in this server's store, which knows whose it is.
            guard wanted.reference.name != Self.snapshots else { throw ImageError.notFound(wanted.reference.familiar) }
        } catch {
            throw .image(reason: "\(error)", isCallersFault: error.isCallersFault)
        }
        let fetch = AbandonedFetches.Fetch(caller: caller, image: wanted.reference.familiar, credentials: credentials)
        let run: AbandonedFetches.Run
        do throws(RuntimeError) { run = try abandoned.enter(fetch) } catch {
            // Nothing has to be fetched for one that is there.
            guard let found = (try? await atHand(wanted)).flatMap({ $0 }) else { throw error }
            return found
        }
        defer { abandoned.leave(fetch) }
        let found: EngineImage?
        do throws(ImageError) {
            found = try await fetches.run(wanted) { [self] () throws(ImageError) in try await ready(wanted, run) }
        } catch {
            throw .image(reason: "\(error)", isCallersFault: error.isCallersFault)
        }
        guard let found else { throw .cancelled }
        return found
    }

    private static let snapshots = "\(ImageReference.defaultRegistry)/library/\(DockerNames.snapshots)"

    private func ready(_ wanted: Wanted, _ run: AbandonedFetches.Run) async throws(ImageError) -> EngineImage {
        let reference = wanted.reference, fetched: EngineImage, own: String
        do throws(EngineFailure) {
            if let found = try await atHand(wanted) { return found }
            own = try await platform()
            guard policy != .never else { throw EngineFailure(.refused(404), "not found: docker.pull_policy is never") }
            fetched =
                wanted.credentials == nil
                ? try await fetchOpenly(wanted, own) : try await fetchPrivately(wanted, own, run)
        } catch {
            switch error.kind {
            // It is the engine that is away, not the registry.
            case .away, .cancelled, .malformed: throw .pullFailed(reference.familiar, reason: "\(error)")
            case .refused: throw PullProgress.error("\(error)", for: reference, platform: "the engine's machine")
            }
        }
        // Engines fetch one that is made for a single platform whatever they are asked for.
        guard fetched.platform == own else { throw .unsupportedPlatform(reference.familiar, platform: own) }
        return fetched
    }

    /// What the engine has and everybody may have; nil where the registry is to be asked.
    private func atHand(_ wanted: Wanted) async throws(EngineFailure) -> EngineImage? {
        try await settle()
        let platform = try await platform()
        guard policy == .never || policy == .missing && wanted.credentials == nil,
            let found = try await find(wanted.reference), found.platform == platform, privates.isOpen(found.id)
        else { return nil }
        return found
    }

    private func platform() async throws(EngineFailure) -> String {
        if let known = platform.withLock({ $0 }) { return known }
        let told = try await engine.get(EngineCall("GET", "info"), as: EngineInfo.self).platform
        platform.withLock { $0 = told }
        return told
    }

    /// Whether everybody may have it.
    func isOpen(_ image: EngineImage) -> Bool { privates.isOpen(image.id) }

    /// - Parameter name: any that the engine knows, of this server's own.
    func find(_ name: String) async throws(EngineFailure) -> EngineImage? {
        try await engine.find(EngineCall("GET", "images", name, "json"))
    }

    private func find(_ reference: ImageReference) async throws(EngineFailure) -> EngineImage? {
        let found = try await find(reference.familiar)
        return found?.isNamed(reference) == true ? found : nil
    }

    // MARK: fetching

    private func fetchOpenly(_ wanted: Wanted, _ platform: String) async throws(EngineFailure) -> EngineImage {
        try await pull(wanted, platform)
        guard let found = try await find(wanted.reference) else { throw Self.gone }
        try await check(found, wanted)
        try Self.noting { () throws(SystemCallError) in try privates.release(found.id) }
        return found
    }

    private func fetchPrivately(
        _ wanted: Wanted, _ platform: String, _ run: AbandonedFetches.Run
    ) async throws(EngineFailure) -> EngineImage {
        let name = wanted.reference.familiar, changes = privates.changes
        let before: [ListedImage] = try await engine.get(EngineCall("GET", "images", "json", query: [("all", "true")]))
        let begun = try Self.noting { () throws(SystemCallError) in
            try privates.begin(name, before: Set(before.map(\.id)), asOf: changes)
        }
        guard let begun else {
            throw EngineFailure(
                .malformed, "there are \(PrivateImages.limit) private images in the engine: remove some")
        }
        let outcome: Result<Void, EngineFailure>
        do throws(EngineFailure) { outcome = .success(try await pull(wanted, platform)) } catch {
            outcome = .failure(error)
        }
        do throws(EngineFailure) { try outcome.get() } catch {
            // The engine has said its last word, or it may go on: until it cannot, what comes is nobody else's.
            if case .refused = error.kind {
                try await note(begun, wanted)
            } else {
                Task {
                    try? await Task.sleep(for: lateness)
                    _ = try? await note(begun, wanted)
                    withExtendedLifetime(run) {}
                }
            }
            throw error
        }
        guard let image = try await note(begun, wanted) else { throw Self.gone }
        try await check(image, wanted)
        return image
    }

    /// Notes whose the image is that has come, if any.
    @discardableResult
    private func note(_ begun: PrivateImages.Fetch, _ wanted: Wanted) async throws(EngineFailure) -> EngineImage? {
        // In a task of its own, because this one may have been cancelled: something may have come all the same.
        let found = await Task { () -> Result<EngineImage?, EngineFailure> in
            do throws(EngineFailure) { return .success(try await self.find(wanted.reference)) } catch {
                return .failure(error)
            }
        }.value
        try Self.noting { () throws(SystemCallError) in
            guard case .success(let image) = found else { return try privates.leave(begun) }
            try privates.end(begun, image.map { (id: $0.id, repository: wanted.reference.name) })
        }
        return try found.get()
    }

    /// That the registry gives this caller what the engine says to have fetched, where others may not have it.
    private func check(_ image: EngineImage, _ wanted: Wanted) async throws(EngineFailure) {
        guard !privates.isOpen(image.id) else { return }
        guard !privates.isOfAnother(image.id, than: wanted.reference.name) else {
            throw EngineFailure(
                .refused(403), "access denied: the engine has this image from another private repository")
        }
        // Engines keep manifests, and ask nobody for one of a digest that they know.
        guard wanted.reference.digest != nil else { return }
        var call = EngineCall("GET", "distribution", wanted.reference.familiar, "json")
        call.registryAuth = wanted.header
        do throws(EngineFailure) { try await engine.send(call) } catch {
            throw EngineFailure(error.kind, wanted.credentials?.scrub("\(error)") ?? "\(error)")
        }
    }

    private static let gone = EngineFailure(.malformed, "it was removed again at once")

    /// Of fetches that an earlier server has not seen the end of, or whose end the engine's has hidden.
    private func settle() async throws(EngineFailure) {
        for name in privates.unsettled {
            let image = try await find(name)
            try Self.noting { () throws(SystemCallError) in
                try privates.settle(
                    name, image.map { (id: $0.id, repository: (try? ImageReference(name).name) ?? name) })
            }
        }
    }

    private static func noting<Value>(_ body: () throws(SystemCallError) -> Value) throws(EngineFailure) -> Value {
        do throws(SystemCallError) { return try body() } catch {
            throw EngineFailure(.malformed, "the list of private images cannot be written: \(error)")
        }
    }

    private func pull(_ wanted: Wanted, _ platform: String) async throws(EngineFailure) {
        let reference = wanted.reference
        var call = EngineCall(
            "POST", "images", "create",
            query: [
                ("fromImage", reference.name), ("tag", reference.digest ?? reference.tag ?? "latest"),
                ("platform", platform),
            ])
        call.registryAuth = wanted.header
        do throws(EngineFailure) {
            var lines = try await engine.stream(call).lines
            while let line = try await Self.next(&lines, of: engine) {
                if let words = try PullProgress.failure(in: line) { throw EngineFailure(.refused(500), words) }
            }
        } catch {
            guard let credentials = wanted.credentials else { throw error }
            throw EngineFailure(error.kind, credentials.scrub("\(error)"))
        }
    }

    private static func next(
        _ lines: inout ResponseStream.Lines, of engine: EngineClient
    ) async throws(EngineFailure) -> [UInt8]? {
        do throws(HTTPClientError) { return try await lines.next() } catch {
            throw EngineFailure(error, engine: "\(engine.address)")
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
