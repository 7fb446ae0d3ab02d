import FoundationEssentials
import JSON
import Netfilter
import System

#if canImport(Glibc)
    import Glibc
#endif

/// What the disk knows of a sandbox, written before anything of it is made: whatever ends the server, the next one finds
/// everything that has to be taken away.
struct SandboxRecord: Codable, Hashable, Sendable {
    var spec: EngineSpec
    var link: SandboxLink
    /// Its users' ids on this machine; nil where they are those inside, as they are in sandboxes of servers before 0.4.
    var users: IdentifierRange?

    var hostname: String { "sandbox-" + spec.id.prefix(8) }

    static let fileName = "sandbox.json"

    func write(to folder: String) throws(RuntimeError) {
        let path = folder + "/" + Self.fileName
        do throws(SystemCallError) {
            // Strings and numbers always encode. Environments hold secrets.
            try File.replace(path, with: [UInt8](try! JSONEncoder().encode(self)), mode: 0o600)
        } catch {
            throw .system(action: "writing \(path)", reason: "\(error)")
        }
    }

    static func read(from folder: String) -> SandboxRecord? {
        guard let bytes = try? File.read(folder + "/" + fileName) else { return nil }
        return try? JSONValue(bytes).decode()
    }
}

/// The folders of one sandbox.
struct SandboxFolder: Hashable, Sendable {
    let path: String

    var bundle: String { path + "/bundle" }
    var rootfs: String { bundle + "/rootfs" }
    /// What counts against the sandbox's disk limit lies here: its layer of the file system, and what it prints.
    var disk: SandboxDisk { SandboxDisk(folder: path) }
    var upper: String { disk.path + "/upper" }
    var work: String { disk.path + "/work" }
    var output: OutputFile { OutputFile(path: disk.path + "/log") }
    var pidFile: String { path + "/pid" }
    /// The pipe by which init says how the entrypoint ended.
    var end: String { path + "/end" }

    /// Of the sandbox, to others: of its folder, its control group and its container.
    var name: String { path.splitAtLastSlash.name }
    var group: ControlGroup { ControlGroup(path: "/sallyport/" + name) }

    func file(_ name: String) -> String { path + "/" + name }

    /// Makes the folders that are the server's. Those above are root's alone; what makes the sandbox's mounts is its root.
    func create() throws(RuntimeError) {
        try make([path, bundle, rootfs])
        try write("", to: "execd")
    }

    /// Makes the folders that are the sandbox's, on its disk.
    func createLayer(_ users: IdentifierRange?) throws(RuntimeError) {
        try make([upper, work])
        try give([upper, work], to: users)
    }

    private func make(_ folders: [String]) throws(RuntimeError) {
        for folder in folders where mkdir(folder, folder == path ? 0o711 : 0o755) != 0 {
            throw .system(action: "making \(folder)", reason: String(cString: strerror(errno)))
        }
    }

    func write(_ text: String, to name: String, mode: mode_t = 0o644) throws(RuntimeError) {
        try Self.write(text, to: file(name), mode: mode)
    }

    /// Nothing of a sandbox need outlive the machine, whose restart ends every one: no write waits for the disk.
    static func write(_ text: String, to path: String, mode: mode_t) throws(RuntimeError) {
        do throws(SystemCallError) {
            try File.write(Array(text.utf8), to: path, mode: mode)
        } catch {
            throw .system(action: "writing \(path)", reason: "\(error)")
        }
    }

    func endWatch(of record: SandboxRecord) -> EndWatch {
        EndWatch(record.spec.id, path: end, group: group, memoryLimit: record.spec.limits.memoryBytes)
    }

    /// A reason, and what the sandbox printed, if it did.
    func withOutput(_ reason: String) -> String {
        let tail = logTail()
        return tail.isEmpty ? reason : "\(reason); the sandbox printed: \(tail)"
    }

    /// The last bytes of the sandbox's output, however long it is.
    func logTail(bytes: Int = 2000) -> String { output.tail(bytes: bytes) }
}
