import Addresses
import NetworkPolicy

/// What there was to the last answers of a sandbox's names besides their addresses: by way of which aliases they came, and
/// what the answer filter took out. Only for who asks why; nothing is decided by it.
struct AnswerNotes: Sendable {
    struct Note: Hashable, Sendable {
        /// In order; the last one has the addresses.
        var aliases: [DomainName] = []
        /// The first few of the addresses that were taken out.
        var removed: [IPAddress] = []
        var removedCount = 0
        /// Milliseconds since 1970.
        var time: UInt64 = 0

        var isEmpty: Bool { aliases.isEmpty && removedCount == 0 }
    }

    private struct Key: Hashable {
        var name: DomainName
        var type: UInt16
    }

    /// A sandbox chooses which names there are: with more than this all are forgotten.
    private let capacity: Int
    private var size = 0
    private var notes: [Key: Note] = [:]

    /// - Parameter capacity: in bytes, about.
    init(capacity: Int = 64 << 10) { self.capacity = capacity }

    /// An answer without anything to note takes the place of an earlier one, too.
    mutating func put(_ note: Note, for name: DomainName, type: UInt16) {
        guard !note.isEmpty || !notes.isEmpty else { return }
        let key = Key(name: name, type: type)
        if let before = notes.removeValue(forKey: key) { size -= Self.size(key, before) }
        guard !note.isEmpty else { return }
        let added = Self.size(key, note)
        if size + added > capacity { (notes, size) = ([:], 0) }
        guard added <= capacity else { return }
        notes[key] = note
        size += added
    }

    /// The notes of a name's answers, of IPv4 first.
    func notes(of name: DomainName) -> [Note] {
        [1, 28].compactMap { notes[Key(name: name, type: $0)] }
    }

    private static func size(_ key: Key, _ note: Note) -> Int {
        note.aliases.reduce(128 + key.name.wire.count + 24 * note.removed.count) { $0 + 32 + $1.wire.count }
    }
}
