import FoundationEssentials
import HTTPClient
import Spelling
import Synchronization

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

extension LocalEngine {
    private static let tokenHeader = "X-EXECD-ACCESS-TOKEN"
    /// Milliseconds that a sandbox may take to begin.
    private static let patience: UInt64 = 15_000

    /// Begins a sandbox that was prepared with `EngineSpec.isHeld` and started. Its entrypoint runs when this returns.
    func begin(_ use: SandboxUse) async throws(RuntimeError) {
        var (record, folder) = try known(use.id)
        guard record.spec.isHeld == true else { throw .wrongState(id: use.id, state: "in use", needed: "held") }
        let address = state.withLock { $0.pool.address(record.link.host) }
        guard let endpoint = HTTPEndpoint("http://\(address):\(StartWait.execdPort)") else {
            throw .system(action: "reaching \(use.id)", reason: "\(address) is no host")
        }
        var peer = HTTPPeer(endpoint)
        peer.deadlines = ClientDeadlines(connect: 5000, total: Self.patience)
        // Texts, numbers and lists can always be encoded.
        let body = [UInt8](try! JSONEncoder().encode(HeldStart(use)))
        let request = ClientRequest(
            "POST", "/internal/init",
            headers: [("Content-Type", "application/json"), (Self.tokenHeader, record.spec.execdToken ?? "")],
            body: .bytes(body))
        let answer: ClientResponse
        do throws(HTTPClientError) { answer = try await HTTPClient.shared.send(request, to: peer) } catch {
            throw error == .cancelled ? .cancelled : .startFailed(id: use.id, reason: folder.withOutput("\(error)"))
        }
        guard answer.status == 200 else {
            let reason = "execd answered \(answer.status): \(String(decoding: answer.body.prefix(500), as: UTF8.self))"
            throw .startFailed(id: use.id, reason: folder.withOutput(reason))
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
