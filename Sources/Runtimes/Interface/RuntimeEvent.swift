/// What has happened to a sandbox without a request. Events may come late, more than once, and after their sandbox is gone:
/// each says enough to be judged by itself.
public enum RuntimeEvent: Hashable, Sendable {
    /// It is guarded and runs: also one whose create an earlier server began.
    case started(id: String, SandboxPlacement)
    /// Its entrypoint has ended.
    case exited(SandboxEnd)
    /// It is gone without an end of its own: a node died, somebody took it away.
    case lost(id: String, reason: String)
    /// Events may have been missed: the watch broke. Every sandbox is to be observed anew.
    case missed
}
