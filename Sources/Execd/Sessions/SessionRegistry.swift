import Synchronization

/// The sessions of this execd.
final class SessionRegistry: Sendable {
    /// Each has a process once something has run in it.
    static let maxSessions = 256

    private let sessions = Mutex<[String: ShellSession]>([:])

    subscript(id: String) -> ShellSession? { sessions.withLock { $0[id] } }

    /// - Returns: false when there are `mostSessions`.
    func add(_ session: ShellSession) -> Bool {
        sessions.withLock { sessions in
            guard sessions.count < Self.maxSessions else { return false }
            sessions[session.id] = session
            return true
        }
    }

    func remove(_ id: String) -> ShellSession? { sessions.withLock { $0.removeValue(forKey: id) } }
}
