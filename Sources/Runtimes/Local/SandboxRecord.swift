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
        // Strings and numbers always encode. Environments hold secrets.
        try QuickFile.write([UInt8](try! JSONEncoder().encode(self)), to: path + ".new", mode: 0o600)
        guard rename(path + ".new", path) == 0 else {
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
        try QuickFile.write(Array(text.utf8), to: file(name), mode: 0o644)
    }

    /// The last bytes of the sandbox's output, however long it is.
    func logTail(bytes: Int = 2000) -> String {
        let descriptor = open(log, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        let size = lseek(descriptor, 0, SEEK_END)
        var tail = [UInt8](repeating: 0, count: min(bytes, Int(max(0, size))))
        let count = pread(descriptor, &tail, tail.count, size - off_t(tail.count))
        return String(decoding: tail.prefix(max(0, count)), as: UTF8.self)
    }
}
