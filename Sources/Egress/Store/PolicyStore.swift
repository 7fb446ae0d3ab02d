import Glibc
import NetworkPolicy
import Synchronization
import System

/// Stores a guard's record.
package protocol RecordStore: Sendable {
    /// Writes the record beside the present one. Calling `publish()` on the result puts it in force.
    /// - Parameter change: the change from the record in force to this one.
    func stage(_ record: GuardRecord, after change: PolicyChange) throws(EgressError) -> StagedRecord
}

/// The guards' records, one file per sandbox: `<folder>/<id>.json`, folder 0700, files 0600. Changes of a large record
/// go to `<id>.journal` until that would be as long as the record.
struct PolicyStore: RecordStore {
    /// What is on the disk of one sandbox.
    private struct Written {
        var mark: String
        /// The length of the full record in bytes.
        var wholeLength: Int
        /// The length of its changes in force, in bytes.
        var journalLength = 0
    }

    private final class Index: Sendable {
        let written = Mutex<[String: Written]>([:])
    }

    let folder: String
    private let index = Index()
    private static let suffix = ".json", journalSuffix = ".journal"
    /// A smaller record is always written in full.
    private static let leastJournalled = 16 << 10

    /// Nothing waits for the disk: after a power failure the namespaces are gone that the records are about, and it would
    /// be a third of a create.
    init(folder: String) throws(EgressError) {
        self.folder = folder
        var prefix = ""
        for part in folder.split(separator: "/") {
            prefix += (prefix.isEmpty && !folder.hasPrefix("/") ? "" : "/") + part
            if mkdir(prefix, 0o700) != 0 && errno != EEXIST { throw .storage(prefix, .last) }
        }
        guard chmod(folder, 0o700) == 0 else { throw .storage(folder, .last) }
    }

    /// Writes what a record takes, and takes it away again.
    func checkWrite() throws(EgressError) {
        let path = folder + "/ready"
        do throws(SystemCallError) {
            _ = try ReplacementFile(staging: [UInt8](repeating: 0x20, count: 4096), for: path)
        } catch { throw .storage(path, error) }
    }

    func path(of id: String) -> String { folder + "/" + id + Self.suffix }
    func journalPath(of id: String) -> String { folder + "/" + id + Self.journalSuffix }

    func stage(_ record: GuardRecord, after change: PolicyChange) throws(EgressError) -> StagedRecord {
        let id = record.id, index = index
        if let written = index.written.withLock({ $0[id] }), written.wholeLength >= Self.leastJournalled,
            written.journalLength < written.wholeLength, let line = Journal.line(change, mark: written.mark)
        {
            return .line(
                try JournalLine(
                    line, at: written.journalLength, of: journalPath(of: id),
                    published: { length in index.written.withLock { $0[id]?.journalLength = length } }))
        }
        var random = SystemRandomNumberGenerator()
        let mark = Journal.mark(using: &random), journal = journalPath(of: id)
        let bytes = record.encoded(mark: mark)
        return .whole(
            try .staged(bytes, for: path(of: id)),
            then: {
                // Its lines belong to an older record by now, so it does not matter whether the file can be removed.
                unlink(journal)
                index.written.withLock { $0[id] = Written(mark: mark, wholeLength: bytes.count) }
            })
    }

    func remove(_ id: String) throws(EgressError) {
        guard unlink(path(of: id)) == 0 || errno == ENOENT else { throw .storage(path(of: id), .last) }
        unlink(journalPath(of: id))
        _ = index.written.withLock { $0.removeValue(forKey: id) }
    }

    /// The identifiers with a record, sorted. Unfinished files (a crash while staging) are deleted.
    func identifiers() throws(EgressError) -> [String] {
        guard let names = File.names(in: folder) else { throw .storage(folder, .last) }
        var found: [String] = []
        for name in names {
            if name.hasSuffix(Self.suffix + ".new") {
                unlink(folder + "/" + name)
            } else if name.hasSuffix(Self.journalSuffix) {
                let record = folder + "/" + name.dropLast(Self.journalSuffix.count) + Self.suffix
                if access(record, F_OK) != 0 && errno == ENOENT { unlink(folder + "/" + name) }
            } else if name.hasSuffix(Self.suffix), SandboxIdentifier.isValid(name.dropLast(Self.suffix.count)) {
                found.append(String(name.dropLast(Self.suffix.count)))
            }
        }
        return found.sorted()
    }

    func load(_ id: String) throws(EgressError) -> GuardRecord {
        let path = path(of: id), journalPath = journalPath(of: id)
        guard let bytes = try Self.read(path) else { throw .storage(path, SystemCallError(code: ENOENT)) }
        var (record, mark) = try GuardRecord.decode(bytes, path: path)
        guard record.id == id else { throw .storage(path: path, reason: "it is the record of another sandbox") }
        guard let mark else { return record }
        var written = Written(mark: mark, wholeLength: bytes.count)
        if let journal = try Self.read(journalPath) {
            let (changes, length) = try Journal.read(journal, mark: mark, path: journalPath)
            if !changes.isEmpty {
                let evaluator = changes.reduce(PolicyEvaluator(record.policy)) { $0.applying($1).evaluator }
                record.policy = evaluator.policy
            }
            written.journalLength = length
        }
        index.written.withLock { $0[id] = written }
        return record
    }

    /// `nil` if there is no such file.
    private static func read(_ path: String) throws(EgressError) -> [UInt8]? {
        do throws(SystemCallError) {
            return try File.readIfPresent(path, limit: .max, followsLinks: false)
        } catch {
            throw .storage(path, error)
        }
    }
}
