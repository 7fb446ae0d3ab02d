/// A guard's record on the disk but not in force yet: thrown away unless it is published.
enum StagedRecord: ~Copyable {
    /// Kept in no file.
    case nothing
    /// The whole record, and what is to be done when it is in place.
    case whole(AtomicFile, then: @Sendable () -> Void)
    /// One change behind the whole record.
    case line(JournalLine)

    /// Makes it the one in force.
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
