/// Creates and deletes sandboxes: processes on this machine, containers of an engine, or pods of a cluster.
///
/// docs/adding-a-runtime.md has the rules for each method. In short:
/// - Nothing of a sandbox runs before its policy is in force. The runtime decides how and in which order.
/// - The store knows which sandboxes exist, a runtime knows their state. It may be asked about any of them at any time,
///   by servers that did not create it.
/// - Only sandboxes with this server's `SandboxLabels.owner` are listed, so that no other server's are ever deleted.
package protocol SandboxRuntime: Sendable {
    var capabilities: RuntimeCapabilities { get }
    /// The codes of its failures in answers to clients.
    var codes: RuntimeCodes { get }

    /// Checks whether a sandbox with these limits could be created now.
    func admit(_ limits: ResourceLimits) async throws(RuntimeError)

    /// Checks whether what runs sandboxes is there: an engine that answers, a program that can be started.
    func checkReady() async throws(RuntimeError)

    /// Checks whether the disk has room for another sandbox.
    func checkSpace() async throws(RuntimeError)

    /// Checks whether a sandbox could have these volumes, without making any; only if `capabilities.volumes` is true.
    /// - Parameter caller: as `SandboxSpec.caller`.
    func admit(_ volumes: [SandboxVolume], for caller: String?) async throws(RuntimeError)

    /// Creates and starts a sandbox. When this returns, its policy is in force and execd accepts connections.
    ///
    /// When its task is cancelled, it stops and throws `.cancelled` as soon as it can. After an error nothing is left,
    /// and what could not be removed is listed by `owned`.
    ///
    /// - Parameter reached: called with the progress, for people who wait.
    func create(
        _ spec: SandboxSpec, reached: @escaping @Sendable (CreateStage) -> Void
    ) async throws(RuntimeError) -> SandboxPlacement

    /// What a name of an image means now, without asking a registry.
    /// - Returns: nil where that is not known.
    func revision(ofImage reference: String) async -> ImageRevision?

    /// Fetches an image, as a create with the same words would, for creates to come.
    /// - Parameter caller: as `SandboxSpec.caller`.
    func pull(
        _ reference: String, _ credentials: RegistryCredentials?, for caller: String?
    ) async throws(RuntimeError) -> KeptImage

    /// The images that it keeps, by reference; only if `capabilities.images` is true, as for the next ones.
    func keptImages() async -> [KeptImage]

    /// Removes an image, and its files if no other reference has them.
    func remove(image reference: String) async throws(ImageRemovalError)

    /// Gives a sandbox that was created with `SandboxSpec.isHeld` its policy, and then its program. When this returns, the
    /// policy is in force and the program runs. After an error nothing of it is left. Until then `observe` says `abandoned`.
    func begin(_ use: SandboxUse) async throws(RuntimeError) -> SandboxPlacement

    /// Only if `capabilities.pause` is true.
    func pause(_ id: String) async throws(RuntimeError)
    func resume(_ id: String) async throws(RuntimeError)

    /// Takes a snapshot of a running or paused sandbox, which is in the same state afterwards, and stood still meanwhile.
    /// Only if `capabilities.snapshots` is true; nothing else happens to the sandbox meanwhile.
    ///
    /// When it returns, the snapshot outlives sandbox, server and machine. After an error, also when its task is cancelled,
    /// nothing of it is left.
    func takeSnapshot(_ id: String, of sandbox: String) async throws(RuntimeError)

    /// Removes a snapshot, which may also be unknown. Sandboxes that were restored from it are not disturbed.
    func deleteSnapshot(_ id: String) async throws(RuntimeError)

    /// The ids of this server's whole snapshots.
    func snapshots() async throws(RuntimeError) -> [String]

    /// Removes everything of a sandbox, its guard last. The sandbox may also be incomplete, ended or unknown.
    func delete(_ id: String) async throws(RuntimeError)

    /// The present state of a sandbox.
    /// - Throws: if the state cannot be determined. Callers never take an error to mean that the sandbox is gone.
    func observe(_ id: String) async throws(RuntimeError) -> SandboxObservation

    /// The ids of all sandboxes of this server that have left anything, incomplete ones included.
    func owned() async throws(RuntimeError) -> [String]

    /// What happens to sandboxes without a request, for one reader. Events may be late or repeated.
    var events: AsyncStream<RuntimeEvent> { get }

    /// The last bytes that a sandbox's entrypoint printed.
    func logTail(of id: String, bytes: Int) async -> String

    /// The same of what it printed since a moment; what was printed shortly before may be in it.
    /// - Parameter since: Unix seconds.
    /// - Returns: nil if the runtime does not know when anything was printed.
    func logTail(of id: String, bytes: Int, since: Int64) async -> String?

    /// Sets which folders of the machine sandboxes may be given from now on, and how large a named volume is by default.
    func changeStorage(_ storage: StorageConfiguration)

    /// How a sandbox is isolated from the machine, for diagnostics.
    func isolation(of id: String) async -> String

    /// Parts of deleted sandboxes that have not been removed yet.
    var leftovers: [Leftover] { get }

    /// Whether what listens on a TCP port where `inside` leads to is the sandbox's. True where nobody else could.
    func serves(_ id: String, port: UInt16) -> Bool

    /// Whether a connection that was made where `inside` leads to is the sandbox's: it has accepted it, or nobody has yet. True where
    /// nobody else could.
    func serves(_ id: String, connection: CInt) -> Bool

    /// Runs `body` on a thread in the network namespace of a sandbox on this machine, to open a socket there. It
    /// blocks.
    /// - Throws: `RuntimeError.unsupported` if the sandbox's network is not on this machine; what `body` throws.
    func inside<Result: Sendable>(_ id: String, _ body: @Sendable () throws -> Result) throws -> Result
}

extension SandboxRuntime {
    package func admit(_ limits: ResourceLimits) async throws(RuntimeError) {}
    package func checkReady() async throws(RuntimeError) {}
    package func checkSpace() async throws(RuntimeError) {}
    package func admit(_ volumes: [SandboxVolume], for caller: String?) async throws(RuntimeError) {
        if !volumes.isEmpty { throw .unsupported("a volume") }
    }
    package func revision(ofImage reference: String) async -> ImageRevision? { nil }
    package func pull(
        _ reference: String, _ credentials: RegistryCredentials?, for caller: String?
    ) async throws(RuntimeError) -> KeptImage { throw .unsupported("pulling images") }
    package func keptImages() async -> [KeptImage] { [] }
    package func remove(image reference: String) async throws(ImageRemovalError) { throw .unsupported }
    package func logTail(of id: String, bytes: Int, since: Int64) async -> String? { nil }
    package func changeStorage(_ storage: StorageConfiguration) {}
    package func isolation(of id: String) async -> String { "" }
    package var leftovers: [Leftover] { [] }

    package func begin(_ use: SandboxUse) async throws(RuntimeError) -> SandboxPlacement {
        throw .unsupported("a pool")
    }
    package func pause(_ id: String) async throws(RuntimeError) { throw .unsupported("pausing") }
    package func resume(_ id: String) async throws(RuntimeError) { throw .unsupported("resuming") }

    package func takeSnapshot(_ id: String, of sandbox: String) async throws(RuntimeError) {
        throw .unsupported("taking snapshots")
    }
    package func deleteSnapshot(_ id: String) async throws(RuntimeError) {}
    package func snapshots() async throws(RuntimeError) -> [String] { [] }

    package func serves(_ id: String, port: UInt16) -> Bool { true }
    package func serves(_ id: String, connection: CInt) -> Bool { true }

    package func inside<Result: Sendable>(_ id: String, _ body: @Sendable () throws -> Result) throws -> Result {
        throw RuntimeError.unsupported("entering a sandbox's network")
    }
}

/// The progress of a create.
package enum CreateStage: Hashable, Sendable {
    /// The image is ready, so that only the start is left.
    case imageReady
}

/// The observed state of a sandbox.
package struct SandboxObservation: Hashable, Sendable {
    package var state: RuntimeState
    /// How it is guarded and reached; nil if there is nothing to guard or reach.
    package var placement: SandboxPlacement?
    /// How it ended; nil if it has not, or if that is unknown.
    package var end: SandboxEnd?

    package init(_ state: RuntimeState, placement: SandboxPlacement? = nil, end: SandboxEnd? = nil) {
        self.state = state
        self.placement = placement
        self.end = end
    }
}

package enum RuntimeState: Hashable, Sendable {
    /// Incomplete, and nobody is working on it.
    case abandoned
    /// Being created by something that needs no server for it, such as a cluster. It will run or end.
    case starting
    case running, paused, exited, missing
}
