import NetworkPolicy
import System

/// A guard's record on the disk but not in force yet: thrown away unless it is published.
package enum StagedRecord: ~Copyable {
    /// Not stored.
    case nothing
    /// The whole record, and what is to be done when it is in place.
    case whole(ReplacementFile, then: @Sendable () -> Void)
    /// One change behind the whole record.
    case line(JournalLine)

    /// Puts the record in force.
    consuming func publish() throws(EgressError) {
        switch consume self {
        case .nothing: return
        case .whole(let file, let then):
            let path = file.path
            do throws(SystemCallError) { try file.publish() } catch { throw .storage(path, error) }
            then()
        case .line(let line): try line.publish()
        }
    }
}

/// For what is not stored.
struct NoStore: RecordStore {
    func stage(_ record: GuardRecord, after change: PolicyChange) throws(EgressError) -> StagedRecord { .nothing }
}

extension ReplacementFile {
    /// Content that is to be in the place of a file.
    /// - Parameter synchronizes: wait for the disk.
    package static func staged(
        _ content: [UInt8], for path: String, synchronizes: Bool = false
    ) throws(EgressError) -> ReplacementFile {
        do throws(SystemCallError) {
            return try ReplacementFile(staging: content, for: path, synchronizes: synchronizes)
        } catch {
            throw .storage(path, error)
        }
    }
}
