/// Makes sandboxes and takes them away: processes of this machine, containers of an engine, pods of a cluster.
///
/// docs/adding-a-runtime.md says what each method has to keep to. In short:
/// - Nothing of a sandbox runs before its policy is in force. In which order that is done, and by whom, is the runtime's affair.
/// - The store knows which sandboxes there are; a runtime knows what has become of each. It may be asked about any of them at
///   any time, by servers that did not make it.
/// - Only what carries this server's `SandboxLabels.owner` is listed, so that nobody else's is ever taken away.
public protocol SandboxRuntime: Sendable {
    var capabilities: RuntimeCapabilities { get }
    /// What its failures are called in answers to clients.
    var codes: RuntimeCodes { get }

    /// Whether a sandbox with such limits could be made now, before anything is done for it.
    func admit(_ limits: ResourceLimits) async throws(RuntimeError)

    /// Makes a sandbox that is guarded and runs: when this returns, its policy is in force and execd accepts connections.
    ///
    /// A task that is cancelled makes it stop and throw `.cancelled` as soon as it can. After any error nothing is left; what
    /// could not be taken away is found by `owned`.
    ///
    /// - Parameter reached: told what has been done so far, for people who wait.
    func create(
        _ spec: SandboxSpec, reached: @escaping @Sendable (CreateStage) -> Void
    ) async throws(RuntimeError) -> SandboxPlacement

    /// Only where `capabilities.pause` says so.
    func pause(_ id: String) async throws(RuntimeError)
    func resume(_ id: String) async throws(RuntimeError)

    /// Takes away everything of a sandbox, also of one that was half made, has ended or is unknown; its guard last.
    func delete(_ id: String) async throws(RuntimeError)

    /// What there is of a sandbox now.
    /// - Throws: where that cannot be found out. Nobody takes an error for an absence.
    func observe(_ id: String) async throws(RuntimeError) -> SandboxObservation

    /// Every sandbox of this server's of which something is there, half made ones included.
    func owned() async throws(RuntimeError) -> [String]

    /// What happens to sandboxes by itself, for one reader. An event may come late and more than once.
    var events: AsyncStream<RuntimeEvent> { get }

    /// The last bytes that a sandbox's entrypoint printed.
    func logTail(of id: String, bytes: Int) async -> String

    /// What parts a sandbox from the machine, where machines differ: for whoever looks for the reason of something.
    func isolation(of id: String) async -> String

    /// What of deleted sandboxes is out of the way, but not gone yet.
    var leftovers: [Leftover] { get }

    /// Runs what opens a socket on a thread inside the network of a sandbox of this machine. It blocks.
    /// - Throws: `RuntimeError.unsupported` where the sandbox's network is not this machine's; what `body` throws.
    func inside<Result: Sendable>(_ id: String, _ body: @Sendable () throws -> Result) throws -> Result
}

extension SandboxRuntime {
    public func admit(_ limits: ResourceLimits) async throws(RuntimeError) {}
    public func isolation(of id: String) async -> String { "" }
    public var leftovers: [Leftover] { [] }

    public func pause(_ id: String) async throws(RuntimeError) { throw .unsupported("pausing") }
    public func resume(_ id: String) async throws(RuntimeError) { throw .unsupported("resuming") }

    public func inside<Result: Sendable>(_ id: String, _ body: @Sendable () throws -> Result) throws -> Result {
        throw RuntimeError.unsupported("entering a sandbox's network")
    }
}

/// How far a create has come.
public enum CreateStage: Hashable, Sendable {
    /// The image is there; what is left is the start.
    case imageReady
}

/// What there is of a sandbox.
public struct SandboxObservation: Hashable, Sendable {
    public var state: RuntimeState
    /// How it is guarded and reached; nil where nothing is there to guard or to reach.
    public var placement: SandboxPlacement?
    /// How it ended; nil where it has not, or nobody knows.
    public var end: SandboxEnd?

    public init(_ state: RuntimeState, placement: SandboxPlacement? = nil, end: SandboxEnd? = nil) {
        self.state = state
        self.placement = placement
        self.end = end
    }
}

public enum RuntimeState: Hashable, Sendable {
    /// Half made, and nobody goes on with it.
    case abandoned
    /// Being made by what needs no server for it: it will run, or end.
    case starting
    case running, paused, exited, missing
}
