import Synchronization

/// The sessions of this execd.
final class SessionRegistry: Sendable {
    /// The most sessions. Each has a process after its first run.
    static let maxSessions = 256

    private let sessions = Mutex<[String: ShellSession]>([:])

    subscript(id: String) -> ShellSession? { sessions.withLock { $0[id] } }

    /// - Returns: false if there are `maxSessions` already.
    func add(_ session: ShellSession) -> Bool {
        sessions.withLock { sessions in
            guard sessions.count < Self.maxSessions else { return false }
            sessions[session.id] = session
            return true
        }
    }

    func remove(_ id: String) -> ShellSession? { sessions.withLock { $0.removeValue(forKey: id) } }
}
