/// A guard's record on the disk that is not in force yet, and is discarded unless it is published.
enum StagedRecord: ~Copyable {
    /// Not stored.
    case nothing
    /// The full record, and an action to run after publishing.
    case whole(AtomicFile, then: @Sendable () -> Void)
    /// One change, appended to the journal.
    case line(JournalLine)

    /// Puts the record in force.
    consuming func publish() throws(EgressError) {
        switch consume self {
        case .nothing: return
        case .whole(let file, let then):
            try file.publish()
            then()
        case .line(let line): try line.publish()
        }
    }
}
