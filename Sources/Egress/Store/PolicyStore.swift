import Glibc

/// Where a guard's record is kept.
protocol RecordStore: Sendable {
    /// Writes the record beside what is there; `publish()` of the result makes it the one in force.
    func stage(_ record: GuardRecord) throws(EgressError) -> AtomicFile
}

/// The guards' records, one file a sandbox: `<folder>/<id>.json`, folder 0700, files 0600.
struct PolicyStore: RecordStore {
    let folder: String
    private let outlivesMachine: Bool
    private static let suffix = ".json"

    /// - Parameter outlivesMachine: records are wanted after a power failure, too. Those of a node are not: the namespaces
    ///   that they are about are gone then, and waiting for the disk would be a third of a create.
    init(folder: String, outlivesMachine: Bool = false) throws(EgressError) {
        self.folder = folder
        self.outlivesMachine = outlivesMachine
        var prefix = ""
        for part in folder.split(separator: "/") {
            prefix += (prefix.isEmpty && !folder.hasPrefix("/") ? "" : "/") + part
            if mkdir(prefix, 0o700) != 0 && errno != EEXIST { throw AtomicFile.failure(prefix) }
        }
        guard chmod(folder, 0o700) == 0 else { throw AtomicFile.failure(folder) }
    }

    func path(of id: String) -> String { folder + "/" + id + Self.suffix }

    func stage(_ record: GuardRecord) throws(EgressError) -> AtomicFile {
        try AtomicFile(staging: record.encoded(), for: path(of: record.id), outlivesMachine: outlivesMachine)
    }

    func remove(_ id: String) throws(EgressError) {
        guard unlink(path(of: id)) == 0 || errno == ENOENT else { throw AtomicFile.failure(path(of: id)) }
        if outlivesMachine { try AtomicFile.synchronizeFolder(of: path(of: id)) }
    }

    /// The identifiers with a record, sorted. Unfinished files (a crash while staging) are deleted.
    func identifiers() throws(EgressError) -> [String] {
        guard let stream = opendir(folder) else { throw AtomicFile.failure(folder) }
        defer { closedir(stream) }
        var found: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasSuffix(Self.suffix + ".new") {
                unlink(folder + "/" + name)
            } else if name.hasSuffix(Self.suffix), SandboxIdentifier.isValid(name.dropLast(Self.suffix.count)) {
                found.append(String(name.dropLast(Self.suffix.count)))
            }
        }
        return found.sorted()
    }

    func load(_ id: String) throws(EgressError) -> GuardRecord {
        let path = path(of: id)
        let record = try GuardRecord(decoding: Self.read(path), path: path)
        guard record.id == id else { throw .storage(path: path, reason: "it is the record of another sandbox") }
        return record
    }

    private static func read(_ path: String) throws(EgressError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { throw AtomicFile.failure(path) }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw AtomicFile.failure(path) }
            if count == 0 { return content }
            content += chunk[..<count]
        }
    }
}
