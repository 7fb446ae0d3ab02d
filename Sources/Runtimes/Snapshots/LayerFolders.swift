import CLinux
import FoundationEssentials
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The folders of the snapshots: `records/<id>.json` are the snapshots, `layers/<id>` the files that they are made of,
/// `work/…` is what is being made.
///
/// Only what a record names counts, and a record is written last and removed first, so that a crash leaves only what
/// nobody names.
struct LayerFolders: Sendable {
    let directory: String

    var records: String { directory + "/records" }
    var layers: String { directory + "/layers" }
    var work: String { directory + "/work" }

    /// Creates missing folders. Layers have set-id programs and files of all users, which no user of the host may reach.
    init(directory: String) throws(RuntimeError) {
        try? FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        guard let path = realpath(directory, nil) else { throw Self.failure("opening \(directory)") }
        defer { free(path) }
        self.directory = String(cString: path)
        // overlayfs separates its options, and its layers, by these.
        guard !self.directory.contains(where: { $0 == "," || $0 == ":" || $0 == "\\" }) else {
            throw .system(action: "opening \(directory)", reason: "its path has a comma, a colon or a backslash")
        }
        for folder in [self.directory, records, layers, work] {
            guard mkdir(folder, 0o700) == 0 || errno == EEXIST, chmod(folder, 0o700) == 0 else {
                throw Self.failure("making \(folder)")
            }
        }
    }

    func layer(_ name: String) -> String { layers + "/" + name }
    func record(_ id: String) -> String { records + "/" + id + ".json" }

    /// A new folder for one job.
    func makeWork() throws(RuntimeError) -> String {
        let path = "\(work)/\(String(UInt64.random(in: .min ... .max), radix: 36))"
        guard mkdir(path, 0o700) == 0 else { throw Self.failure("making \(path)") }
        return path
    }

    /// Makes the finished files of a job a layer. When it returns, the disk has it.
    func publish(_ target: LayerTarget, as name: String) throws(RuntimeError) {
        try synchronized(target.folder) { linux_synchronize_file_system($0) }
        // All users in a sandbox enter by it; those of the host are stopped above.
        guard rename(target.files, layer(name)) == 0 else { throw Self.failure("renaming \(target.files)") }
        try synchronized(layers) { fsync($0) == 0 ? 0 : -errno }
    }

    /// Removes a record for good.
    func removeRecord(_ id: String) throws(RuntimeError) {
        guard unlink(record(id)) == 0 || errno == ENOENT else { throw Self.failure("removing snapshot \(id)") }
        try synchronized(records) { fsync($0) == 0 ? 0 : -errno }
    }

    private func synchronized(_ folder: String, _ body: (CInt) -> CInt) throws(RuntimeError) {
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failure("opening \(folder)") }
        defer { close(descriptor) }
        let code = body(descriptor)
        guard code == 0 else {
            throw .system(action: "writing \(folder) to the disk", reason: String(cString: strerror(-code)))
        }
    }

    private static func failure(_ action: String) -> RuntimeError {
        .system(action: action, reason: String(cString: strerror(errno)))
    }
}
