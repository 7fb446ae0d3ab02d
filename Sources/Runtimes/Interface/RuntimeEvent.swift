/// Something that happened to a sandbox without a request. Events may be late, repeated, or about a sandbox that is
/// gone, so each can be understood without the others.
package enum RuntimeEvent: Hashable, Sendable {
    /// It is guarded and runs, even if an earlier server began to create it.
    case started(id: String, SandboxPlacement)
    /// Its entrypoint has ended.
    case exited(SandboxEnd)
    /// It has disappeared: its node failed, or somebody deleted it.
    case lost(id: String, reason: String)
    /// The watch broke, so events may have been missed. Every sandbox must be observed again.
    case missed
}
