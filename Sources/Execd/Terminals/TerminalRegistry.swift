import Synchronization

/// The terminals of this execd.
final class TerminalRegistry: Sendable {
    static let maxTerminals = 256
    /// How long one with neither a client nor a shell is kept, when another one is made.
    static let maxIdle = Duration.seconds(3600)

    private let maxTerminals: Int
    private let terminals = Mutex<[String: Terminal]>([:])

    init(maxTerminals: Int = TerminalRegistry.maxTerminals) { self.maxTerminals = maxTerminals }

    subscript(id: String) -> Terminal? { terminals.withLock { $0[id] } }

    var all: [Terminal] { terminals.withLock { Array($0.values) } }

    /// Forgets terminals that have not been used for long, and never one with a shell.
    /// - Returns: false if there are too many all the same.
    func add(_ terminal: Terminal, now: ContinuousClock.Instant = .now) -> Bool {
        terminals.withLock { terminals in
            terminals = terminals.filter { $0.value.idleSince.map { now - $0 <= Self.maxIdle } ?? true }
            guard terminals.count < maxTerminals else { return false }
            terminals[terminal.id] = terminal
            return true
        }
    }

    func remove(_ id: String) -> Terminal? { terminals.withLock { $0.removeValue(forKey: id) } }
}
