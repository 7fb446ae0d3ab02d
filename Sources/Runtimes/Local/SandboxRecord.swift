import FoundationEssentials

#if canImport(Glibc)
    import Glibc
#endif

/// What the disk knows of a sandbox, written before anything of it is made: whatever ends the server, the next one finds
/// everything that has to be taken away.
struct SandboxRecord: Codable, Hashable, Sendable {
    var spec: SandboxSpec
    var link: SandboxLink

    static let fileName = "sandbox.json"

    func write(to folder: String) throws(RuntimeError) {
        let path = folder + "/" + Self.fileName
        do {
            try JSONEncoder().encode(self).write(to: URL(filePath: path + ".new"))
        } catch {
            throw .system(action: "writing \(path)", reason: "\(error)")
        }
        // Environments hold secrets.
        guard chmod(path + ".new", 0o600) == 0, rename(path + ".new", path) == 0 else {
            throw .system(action: "writing \(path)", reason: String(cString: strerror(errno)))
        }
    }

    static func read(from folder: String) -> SandboxRecord? {
        guard let data = try? Data(contentsOf: URL(filePath: folder + "/" + fileName)) else { return nil }
        return try? JSONDecoder().decode(SandboxRecord.self, from: data)
    }
}

/// The folders of one sandbox.
struct SandboxFolder: Hashable, Sendable {
    let path: String

    var bundle: String { path + "/bundle" }
    var rootfs: String { bundle + "/rootfs" }
    var upper: String { path + "/upper" }
    var work: String { path + "/work" }
    var pidFile: String { path + "/pid" }
    var log: String { path + "/log" }

    func file(_ name: String) -> String { path + "/" + name }

    func create() throws(RuntimeError) {
        for folder in [path, bundle, rootfs, upper, work] where mkdir(folder, folder == path ? 0o700 : 0o755) != 0 {
            throw .system(action: "making \(folder)", reason: String(cString: strerror(errno)))
        }
    }

    func write(_ text: String, to name: String) throws(RuntimeError) {
        do {
            try Data(text.utf8).write(to: URL(filePath: file(name)))
        } catch {
            throw .system(action: "writing \(file(name))", reason: "\(error)")
        }
    }

    /// The last bytes of the sandbox's output.
    func logTail(bytes: Int = 2000) -> String {
        guard let data = try? Data(contentsOf: URL(filePath: log)) else { return "" }
        return String(decoding: data.suffix(bytes), as: UTF8.self)
    }
}
