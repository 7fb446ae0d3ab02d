import CLinux
import HTTPServer
import Spelling
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// What a sandbox that was started ahead of its use is told once it has one (`POST /internal/init`).
struct InitRequest: Decodable, Hashable, Sendable {
    enum EntrypointPolicy: String, Decodable {
        case keep, restart
    }
    struct Telemetry: Decodable, Hashable, Sendable {
        var attributes: [ExactName: String]?
    }

    var sandboxId: String
    var generation: Int64
    var accessTokenHash: String?
    var envs: [ExactName: String]?
    var lifecycle: LifecycleHooks?
    var telemetry: Telemetry?
    var entrypointPolicy: EntrypointPolicy?
    /// The program in the place of the one that the sandbox was made with; ours, not the contract's.
    var entrypoint: [String]?

    private static let maxAttributes = 64

    static func decode(_ bytes: [UInt8]) throws(RequestBodyError) -> InitRequest {
        let request = try RequestBody.decode(InitRequest.self, from: bytes)
        guard (1...128).contains(request.sandboxId.utf8.count),
            request.sandboxId.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
        else { throw RequestBodyError("sandboxId must be a word of 1 to 128 characters") }
        guard request.generation > 0 else { throw RequestBodyError("generation must be above 0") }
        guard request.accessTokenHash == nil || AccessRule(hash: request.accessTokenHash!) != nil else {
            throw RequestBodyError("accessTokenHash must be sha256: and 64 hexadecimal digits")
        }
        try CommandRequest.checkTexts(envs: request.envs, [])
        // Init starts the API again with them: it would forget its gate, or have another token.
        if let own = Setting.keptFromCommands.first(where: { request.envs?[$0] != nil }) {
            throw RequestBodyError("envs: \(own.text) is a setting of execd's")
        }
        guard (request.telemetry?.attributes ?? [:]).count <= maxAttributes else {
            throw RequestBodyError("telemetry has more than \(maxAttributes) attributes")
        }
        try CommandRequest.checkTexts(envs: nil, request.entrypoint ?? [])
        guard request.entrypoint?.first?.isEmpty != true, request.entrypoint?.isEmpty != true else {
            throw RequestBodyError("entrypoint names no program")
        }
        try request.lifecycle?.validate()
        return request
    }

    /// What all that starts from then on is given.
    var variables: [ExactName: String] {
        var variables = envs ?? [:]
        variables[ExecdVariables.identity] = sandboxId
        return variables
    }
}

/// A start that waits to be told whose the sandbox is. Init keeps what was told in a file that both processes have, so that an
/// API that is started again knows it.
final class GatedStart: Sendable {
    private enum Phase {
        case waiting, beingTold
        case told(InitRequest)
    }

    private static let maxBytes = 4 << 20

    /// Whether there was anything to wait for.
    let isGated: Bool
    private let file: CInt?
    /// The pipe by which init says whether a held program runs (`HeldStart`); nil where none is held.
    private let started: CInt?
    private let phase: Mutex<Phase?>

    /// - Parameters:
    ///   - file: init's; nil where there is none.
    ///   - started: init's pipe; nil where no program is held.
    init(isGated: Bool, file: CInt? = nil, started: CInt? = nil) {
        self.isGated = isGated
        self.file = file
        self.started = started
        phase = Mutex(isGated ? file.flatMap(Self.read).map { .told($0) } ?? .waiting : nil)
    }

    /// A start that nothing was to be told of.
    static let open = GatedStart(isGated: false)

    /// nil until it has come, or where nothing is to come.
    var told: InitRequest? { phase.withLock { if case .told(let request)? = $0 { request } else { nil } } }

    /// Whether requests are answered.
    var isOpen: Bool { !isGated || told != nil }

    /// Takes the place of who tells.
    /// - Returns: false where it has been told, or is being.
    func begin() -> Bool {
        phase.withLock { phase in
            guard case .waiting? = phase else { return false }
            phase = .beingTold
            return true
        }
    }

    /// It could not be done: the next one may tell.
    func giveUp() { phase.withLock { $0 = .waiting } }

    /// - Parameter bytes: the request as it came, for init.
    func complete(_ request: InitRequest, _ bytes: [UInt8]) throws(SystemCallError) {
        if let file {
            guard ftruncate(file, 0) == 0, lseek(file, 0, SEEK_SET) == 0 else { throw .last }
            try File.write(bytes, to: file)
            kill(getppid(), InitSignals.initialised)
        }
        phase.withLock { $0 = .told(request) }
    }

    /// Whether the program begins with what is told, and not before.
    var isHeld: Bool { started != nil }

    /// Waits until init has started a held program.
    /// - Returns: whether it runs.
    func heldProgramRuns() async -> Bool {
        guard let started else { return true }
        // They start nothing before it runs.
        return (try? await SpawnThreads.run { HeldStart.outcome(started, within: Self.patience) == true }) ?? false
    }

    private static let patience: CInt = 10_000

    static func read(_ file: CInt) -> InitRequest? {
        // The position is shared with the process that writes, which has done so by now.
        guard lseek(file, 0, SEEK_SET) == 0, let bytes = try? File.read(file, limit: maxBytes), !bytes.isEmpty else {
            return nil
        }
        return try? InitRequest.decode(bytes)
    }
}
