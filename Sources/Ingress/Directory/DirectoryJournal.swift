/// The server side of the directory stream: the present state, and the last changes for gateways that were briefly
/// disconnected. A value; its owner wakes the streams.
package struct DirectoryJournal: Sendable {
    package private(set) var entries: [String: DirectoryEntry] = [:]
    package private(set) var position: DirectoryPosition
    /// The latest changes, oldest first.
    private var changes: [DirectoryMessage] = []
    private let capacity: Int

    /// - Parameters:
    ///   - stream: a random word that distinguishes this journal from earlier ones.
    ///   - capacity: how many changes are kept; a gateway that has missed more gets a full snapshot.
    package init(stream: String, capacity: Int = 1024) {
        position = DirectoryPosition(stream: stream, sequence: 0)
        self.capacity = max(1, capacity)
    }

    /// Records a change; nil for a sandbox that is gone.
    /// - Returns: the previous entry, and whether it differs.
    @discardableResult
    package mutating func set(_ id: String, _ entry: DirectoryEntry?) -> (old: DirectoryEntry?, isChange: Bool) {
        let old = entries[id]
        guard old != entry else { return (old, false) }
        entries[id] = entry
        position.sequence += 1
        let sequence = position.sequence
        changes.append(entry.map { .set(sequence: sequence, $0) } ?? .remove(sequence: sequence, id: id))
        // Drop half at once, so that moving the rest is rare.
        if changes.count >= 2 * capacity { changes.removeFirst(changes.count - capacity) }
        return (old, true)
    }

    /// The first messages for a gateway that connects.
    /// - Parameter known: its position, if it has one.
    package func opening(after known: DirectoryPosition?) -> [DirectoryMessage] {
        guard let known, let missed = missed(after: known) else { return [snapshot] }
        return [.resumed(known)] + missed
    }

    /// The changes after a position; a full snapshot if that is too long ago.
    package func messages(after known: DirectoryPosition) -> [DirectoryMessage] { missed(after: known) ?? [snapshot] }

    private var snapshot: DirectoryMessage { .snapshot(position, entries.values.sorted { $0.id < $1.id }) }

    private func missed(after known: DirectoryPosition) -> [DirectoryMessage]? {
        guard known.stream == position.stream, known.sequence <= position.sequence else { return nil }
        let count = position.sequence - known.sequence
        return count <= UInt64(changes.count) ? Array(changes.suffix(Int(count))) : nil
    }
}

/// The gateway's side of the directory stream: the state received so far.
package struct DirectoryReplica: Sendable {
    package private(set) var entries: [String: DirectoryEntry] = [:]
    /// nil before the first snapshot.
    package private(set) var position: DirectoryPosition?

    package init() {}

    /// Applies a message.
    /// - Returns: access that has ended.
    /// - Throws: `DirectoryError.gap` if changes are missing; then a new snapshot is needed, and the old state stays in
    ///   force until it arrives.
    package mutating func apply(_ message: DirectoryMessage) throws(DirectoryError) -> [EndedAccess] {
        switch message {
        case .snapshot(let position, let list):
            let old = entries
            entries = Dictionary(list.map { ($0.id, $0) }) { $1 }
            self.position = position
            return old.values.compactMap { .between($0, entries[$0.id]) }
        case .resumed(let known):
            guard known == position else { throw .gap }
            return []
        case .set(let sequence, let entry):
            try advance(to: sequence)
            let old = entries.updateValue(entry, forKey: entry.id)
            return EndedAccess.between(old, entry).map { [$0] } ?? []
        case .remove(let sequence, let id):
            try advance(to: sequence)
            return EndedAccess.between(entries.removeValue(forKey: id), nil).map { [$0] } ?? []
        case .beat(let sequence):
            guard sequence == position?.sequence else { throw .gap }
            return []
        }
    }

    private mutating func advance(to sequence: UInt64) throws(DirectoryError) {
        guard let known = position?.sequence, sequence > 0, sequence - 1 == known else { throw .gap }
        position!.sequence = sequence
    }
}
