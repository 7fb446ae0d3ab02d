import Addresses
import FoundationEssentials
import HTTPClient
import Spelling
import Synchronization
import Tracing

/// What execd is told to begin a sandbox that was made ahead of its use (`POST /internal/init`, docs/execd.md#gated-start).
struct HeldStart: Encodable {
    var sandboxId: String
    /// A sandbox is handed out once, and never again.
    var generation = 1
    var envs: [ExactName: String]
    var entrypoint: [String]?

    init(_ use: SandboxUse) {
        sandboxId = use.id
        envs = use.environment
        entrypoint = use.entrypoint.isEmpty ? nil : use.entrypoint
    }
}

extension HeldStart {
    private static let tokenHeader = "X-EXECD-ACCESS-TOKEN"
    /// Milliseconds that a sandbox may take to begin.
    private static let patience: UInt64 = 15_000

    /// Why an entrypoint does not run.
    struct Refusal: Hashable, Sendable {
        let reason: String
        /// Whether execd says so, rather than nobody.
        let isAnswer: Bool
    }

    /// Tells the execd at an address. The entrypoint runs when this returns nil.
    /// - Throws: `.cancelled`.
    func tell(
        _ address: IPv4Address, _ port: UInt16 = StartWait.execdPort, token: String?
    ) async throws(RuntimeError) -> Refusal? {
        guard let endpoint = HTTPEndpoint("http://\(address):\(port)") else {
            return Refusal(reason: "\(address) is not a host", isAnswer: false)
        }
        var peer = HTTPPeer(endpoint)
        peer.keepsConnections = false
        peer.deadlines = ClientDeadlines(connect: 5000, total: Self.patience)
        // Texts, numbers and lists can always be encoded.
        let body = [UInt8](try! JSONEncoder().encode(self))
        let headers = [("Content-Type", "application/json"), (Self.tokenHeader, token ?? "")], asked = peer
        let answer: ClientResponse
        do throws(HTTPClientError) {
            answer = try await ActiveSpan.within("execd POST /internal/init", .client) {
                () async throws(HTTPClientError) in
                let request = ClientRequest(
                    "POST", "/internal/init", headers: headers + CurrentRequest.fields,
                    body: .bytes(body))
                return try await HTTPClient.shared.send(request, to: asked)
            }
        } catch {
            guard error != .cancelled else { throw .cancelled }
            return Refusal(reason: "\(error)", isAnswer: false)
        }
        guard answer.status != 200 else { return nil }
        return Refusal(
            reason: "execd answered \(answer.status): \(String(decoding: answer.body.prefix(500), as: UTF8.self))",
            isAnswer: true)
    }
}

extension LocalEngine {
    /// Begins a sandbox that was prepared with `EngineSpec.isHeld` and started. Its entrypoint runs when this returns.
    func begin(_ use: SandboxUse) async throws(RuntimeError) {
        var (record, folder) = try known(use.id)
        guard record.spec.isHeld == true else { throw .wrongState(id: use.id, state: "in use", needed: "held") }
        let (address, port) = execd(of: record)
        if let refusal = try await HeldStart(use).tell(address, port, token: record.spec.execdToken) {
            throw .startFailed(id: use.id, reason: folder.withOutput(refusal.reason))
        }
        // Until this is written, another server takes it for one that waits, and removes it.
        record.spec.isHeld = false
        try record.write(to: folder.path)
    }

    /// Whether it still waits for its use.
    func isHeld(_ id: String) -> Bool {
        Self.isIdentifier(id) && SandboxRecord.read(from: folder(of: id).path)?.spec.isHeld == true
    }
}
