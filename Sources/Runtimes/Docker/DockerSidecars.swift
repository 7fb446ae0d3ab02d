import COpenSSL
import FoundationEssentials
import HTTPClient
import JSON
import NetworkPolicy
import SafeText
import Spelling
import System
import Tracing

#if canImport(Glibc)
    import Glibc
#endif

/// The guards of sandboxes that have one beside them: a container of the image `egress.image` in the network of the sandbox's
/// own. It holds the one capability over that network, and its policy is in a volume of its own, so that the engine can
/// start it again with what was in force.
final class DockerSidecars: Sendable {
    private let engine: EngineClient
    private let images: DockerImages
    let settings: SidecarSettings
    private let owner: String
    private let key: [UInt8]

    /// - Parameter folder: of the file with the key that tokens are made of.
    /// - Throws: `.system` if that cannot be read or written.
    init(
        _ engine: EngineClient, _ images: DockerImages, _ settings: SidecarSettings, owner: String, folder: String
    ) throws(RuntimeError) {
        (self.engine, self.images, self.settings, self.owner) = (engine, images, settings, owner)
        let path = folder + "/sidecar-key"
        do throws(SystemCallError) {
            if let kept = try File.readIfPresent(path, limit: 4096), kept.count == Self.keyLength {
                key = kept
                return
            }
            var made = [UInt8](repeating: 0, count: Self.keyLength)
            guard RAND_bytes(&made, CInt(made.count)) == 1 else { throw SystemCallError(code: EIO) }
            try File.replace(path, with: made, mode: 0o600, synchronizes: true)
            key = made
        } catch { throw .system(action: "making \(path)", reason: "\(error)") }
    }

    private static let keyLength = 32

    /// What the sidecar of a sandbox asks for: made of the key, so that it is stored nowhere.
    func token(_ id: String) -> String {
        var digest = [UInt8](repeating: 0, count: Int(SHA256_DIGEST_LENGTH))
        let text = Array(id.utf8)
        var length: UInt32 = 0
        HMAC(EVP_sha256(), key, CInt(key.count), text, text.count, &digest, &length)
        return Data(digest.prefix(24)).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_")
    }

    func placement(_ id: String, _ container: ContainerFacts) -> SandboxPlacement? {
        container.address.map { address in
            SandboxPlacement(
                .sidecar(PolicyEndpoint(host: "\(address)", port: Self.port, token: token(id))),
                .pod(address: "\(address)"))
        }
    }

    private static let port = 18080
    /// For whom images of guards are fetched: a key of nobody's, since what a key leaves behind holds up its own fetches alone.
    private static let caller = "(guards)"

    // MARK: start and end

    /// - Throws: `.networkMissing`; `.unavailable`.
    func checkNetwork() async throws(RuntimeError) {
        guard settings.network != "bridge" else { return }
        do throws(EngineFailure) {
            let found: JSONIgnored? = try await engine.find(EngineCall("GET", "networks", settings.network))
            guard found == nil else { return }
        } catch { throw RuntimeError(error, "looking for the network \(settings.network)") }
        throw .networkMissing(settings.network)
    }

    /// Has a container that was made without a network join that of sandboxes.
    func join(_ container: ContainerFacts) async throws(RuntimeError) -> ContainerFacts {
        let body: JSONValue = .object(["Container": .string(container.id)])
        do throws(EngineFailure) {
            for (name, verb) in [("none", "disconnect"), (settings.network, "connect")] {
                try await engine.send(EngineCall("POST", "networks", name, verb, body: .json(body)))
            }
            return try await engine.get(EngineCall("GET", "containers", container.id, "json"))
        } catch {
            throw error.status == nil
                ? RuntimeError(error, "joining the network \(settings.network)")
                : .startFailed(id: container.id, reason: "\(error)")
        }
    }

    /// Makes the container of a guard, with what it reads at its start in it.
    /// - Parameter network: the engine's id of the container that it is to guard, which need not run yet.
    func make(_ id: String, network: String, policy: Policy?) async throws(RuntimeError) {
        let image = try await images.image(settings.image, nil, for: Self.caller)
        let body = SidecarBody(
            id: id, owner: owner, image: image, network: network, variables: settings.variables, policy: policy,
            token: token(id), rulesFolder: settings.rulesFolder)
        do throws(EngineFailure) {
            try await engine.make(
                EngineCall(
                    "POST", "containers", "create", query: [("name", DockerNames.sidecar(id))],
                    body: .json(body.json)))
            guard let files = body.files else { return }
            try await engine.send(
                EngineCall(
                    "PUT", "containers", DockerNames.sidecar(id), "archive", query: [("path", SidecarBody.folder)],
                    body: .archive(files.whole)))
        } catch { throw Self.refused(error, id) }
    }

    /// Starts a guard that has been made, of a container in which nothing of its image runs yet; returns when the policy is in force.
    func start(_ id: String, _ container: ContainerFacts) async throws(RuntimeError) {
        guard let address = container.address else {
            throw .startFailed(id: id, reason: "the engine gave it no address in the network \(settings.network)")
        }
        do throws(EngineFailure) {
            try await engine.send(EngineCall("POST", "containers", DockerNames.sidecar(id), "start"))
        } catch { throw Self.refused(error, id) }
        try await untilReady(id, "\(address)")
    }

    private static func refused(_ failure: EngineFailure, _ id: String) -> RuntimeError {
        failure.status == nil ? RuntimeError(failure, "starting the guard of \(id)") : .unguarded("\(failure)")
    }

    /// One without a policy, which takes it from the volume of the one before.
    private func startAnew(_ id: String, _ container: ContainerFacts) async throws(RuntimeError) {
        try await make(id, network: container.id, policy: nil)
        try await start(id, container)
    }

    /// Has a guard that does not run serve again, with the policy that it had, which is in its volume.
    /// - Parameter found: its container; nil if that is gone.
    func restore(_ id: String, _ container: ContainerFacts, _ found: ContainerFacts?) async throws(RuntimeError) {
        guard let found else { return try await startAnew(id, container) }
        let phase = found.state.phase
        guard phase != .created else {
            // Its token may not be in it yet.
            try await ask(EngineCall("DELETE", "containers", found.id, query: [("force", "true")]))
            return try await startAnew(id, container)
        }
        var call = EngineCall("POST", "containers", found.id, phase == .paused ? "unpause" : "start")
        // It runs already.
        call.expected = [304]
        try await ask(call)
        guard let address = container.address else { return }
        try await untilReady(id, "\(address)")
    }

    private func ask(_ call: EngineCall) async throws(RuntimeError) {
        do throws(EngineFailure) { try await engine.send(call) } catch {
            throw error.status == nil ? RuntimeError(error, "starting a guard again") : .unguarded("\(error)")
        }
    }

    /// Enforces another policy.
    func replace(_ id: String, _ placement: SandboxPlacement, with policy: Policy) async throws(RuntimeError) {
        guard case .sidecar(let place) = placement.attachment,
            let endpoint = HTTPEndpoint("http://\(place.host):\(place.port)")
        else { throw .notFound(id) }
        var peer = HTTPPeer(endpoint)
        peer.keepsConnections = false
        peer.deadlines = ClientDeadlines(connect: 5000, total: 10_000)
        let request = ClientRequest(
            "PUT", "/policy",
            headers: [("Content-Type", "application/json"), ("OPENSANDBOX-EGRESS-AUTH", place.token)]
                + CurrentRequest.fields,
            body: .bytes(policy.encodedJSON(.plain)))
        do throws(HTTPClientError) {
            let answer = try await HTTPClient.shared.send(request, to: peer)
            switch answer.status {
            case 200..<300: return
            case 400..<500: throw .interrupted(ForeignText.escaped(answer.text, limit: 500))
            default: throw .interrupted("status \(answer.status)")
            }
        } catch { throw error == .cancelled ? .cancelled : .unguarded("\(error)") }
    }

    private func untilReady(_ id: String, _ address: String) async throws(RuntimeError) {
        guard let endpoint = HTTPEndpoint("http://\(address):\(Self.port)") else {
            throw .unguarded("\(address) is not an address")
        }
        var peer = HTTPPeer(endpoint)
        peer.keepsConnections = false
        // A connection that is tried while the guard has its network closed is dropped, and the kernel would try again in a second.
        peer.deadlines = ClientDeadlines(connect: 100, total: 1000)
        // Without the token: what answers is not known to be the guard yet.
        let request = ClientRequest("GET", "/healthz")
        let end = ContinuousClock.now + .seconds(settings.readiness)
        var tries = 0
        while ContinuousClock.now < end {
            if Task.isCancelled { throw .cancelled }
            if let answer = try? await HTTPClient.shared.send(request, to: peer), (200..<300).contains(answer.status) {
                return try await checkClosed(peer)
            }
            tries += 1
            if tries.isMultiple(of: 20), try await !isRunning(id) {
                throw .unguarded("its guard has ended: docker logs \(DockerNames.sidecar(id)) says why")
            }
            // It serves some 10 ms after its start.
            try? await Task.sleep(for: .milliseconds(tries < 20 ? 4 : 20))
        }
        throw .unguarded("its guard was not ready within \(settings.readiness) s")
    }

    /// - Throws: `.unguarded` where whoever reaches it may change the policy: a guard that does not read its token asks for none.
    private func checkClosed(_ peer: HTTPPeer) async throws(RuntimeError) {
        // Its network is open by now, and this is tried once: on a machine with much to do it may take longer.
        var peer = peer
        peer.deadlines = ClientDeadlines(connect: 1000, total: 2000)
        do throws(HTTPClientError) {
            let answer = try await HTTPClient.shared.send(ClientRequest("GET", "/policy"), to: peer)
            guard (200..<300).contains(answer.status) else { return }
        } catch { throw error == .cancelled ? .cancelled : .unguarded("\(error)") }
        throw .unguarded("its guard shows its policy without a token: \(settings.image) is not an image of a guard")
    }

    private func isRunning(_ id: String) async throws(RuntimeError) -> Bool {
        try await find(id)?.state.phase == .running
    }

    /// Its container; nil where there is none of this server.
    func find(_ id: String) async throws(RuntimeError) -> ContainerFacts? {
        do throws(EngineFailure) {
            return try await OwnContainer(sandbox: id, part: .sidecar, owner: owner).find(engine)
        } catch { throw RuntimeError(error, "looking at the guard of \(id)") }
    }
}

/// Guards beside the sandboxes.
package struct SidecarSettings: Hashable, Sendable {
    package var image: String
    /// The engine's network: `bridge`, or one that an operator has made.
    package var network: String
    /// Seconds that a guard may take.
    package var readiness: Int
    /// Further settings of the guard (docs/egress-sidecar.md).
    package var variables: [String: String]
    /// The engine's machine has the operator's lists there; nil for none.
    package var rulesFolder: String?

    package init(
        image: String, network: String = "bridge", readiness: Int = 30, variables: [String: String] = [:],
        rulesFolder: String? = nil
    ) {
        (self.image, self.network, self.readiness, self.variables) = (image, network, readiness, variables)
        self.rulesFolder = rulesFolder
    }
}
