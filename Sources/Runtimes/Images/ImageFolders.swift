import FoundationEssentials
import Logging
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The image store's folders: `files/sha256-…` are unpacked images, `work/…` is what is being made.
///
/// Only folders in the index count. A complete folder is moved to `files` by one rename, so a crash leaves only what
/// `sweep` removes.
struct ImageFolders: Sendable {
    let directory: String
    let leftovers: Leftovers
    /// Whether snapshots stand on a folder.
    let isHeld: @Sendable (_ root: String) -> Bool

    var files: String { directory + "/files" }
    var work: String { directory + "/work" }
    var index: String { directory + "/index.json" }

    /// Creates missing folders. The path is made absolute and free of links, because mounts are found by it.
    ///
    /// - Throws: `ImageError.storage`.
    static func create(
        at directory: String, logger: Logger, isHeld: @escaping @Sendable (_ root: String) -> Bool = { _ in false }
    ) throws(ImageError) -> ImageFolders {
        func make(_ folder: String) throws(ImageError) {
            do throws(SystemCallError) { try File.makeFolder(folder) } catch {
                throw .storage(action: "making \(folder)", reason: "\(error)")
            }
        }
        try make(directory)
        guard let path = realpath(directory, nil) else {
            throw .storage(action: "opening \(directory)", reason: String(cString: strerror(errno)))
        }
        defer { free(path) }
        let folders = ImageFolders(
            directory: String(cString: path), leftovers: Leftovers(logger: logger), isHeld: isHeld)
        for folder in [folders.files, folders.work] {
            try make(folder)
            // Images may contain set-uid programs and device nodes, which no user of the host may reach.
            guard chmod(folder, 0o700) == 0 else {
                throw .storage(action: "closing \(folder)", reason: String(cString: strerror(errno)))
            }
        }
        return folders
    }

    /// Locks the directory for one store, until the descriptor is closed.
    func lock() throws(ImageError) -> CInt {
        let descriptor = open(directory + "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0, FileLock.take(descriptor) else {
            let reason = errno == EWOULDBLOCK ? "another server uses it" : String(cString: strerror(errno))
            close(descriptor)
            throw .storage(action: "opening the image store in \(directory)", reason: reason)
        }
        return descriptor
    }

    func root(of digest: String) -> String {
        files + "/" + String(digest.map { $0 == ":" ? "-" : $0 })
    }

    /// Creates a temporary folder for one job.
    func makeWork() throws(ImageError) -> String {
        let path = "\(work)/\(String(UInt64.random(in: .min ... .max), radix: 36))"
        guard mkdir(path, 0o700) == 0 else {
            throw .storage(action: "making \(path)", reason: String(cString: strerror(errno)))
        }
        return path
    }

    /// Runs `body` with a temporary folder, which is removed afterwards.
    func withWork<Result>(_ body: (String) throws(ImageError) -> Result) throws(ImageError) -> Result {
        let path = try makeWork()
        defer { remove(path) }
        return try body(path)
    }

    /// Removes folders that no image uses, and incomplete ones.
    func sweep(keeping roots: Set<String>) {
        for name in ControlGroup.entries(of: work) { leftovers.take(files: work + "/" + name) }
        for root in ControlGroup.entries(of: files).map({ files + "/" + $0 }) {
            // A sandbox of an earlier server may use an image whose tag has moved since.
            if !roots.contains(root) && !isUsed(root) { leftovers.take(files: hide(root)) }
        }
    }

    /// Moves an unpacked image out of `files` in one step, so that an interrupted removal leaves no incomplete one
    /// there.
    ///
    /// - Returns: its new path.
    func hide(_ root: String) -> String {
        (try? TreeRemoval.setAside(root, into: work)).flatMap { $0 } ?? root
    }

    /// Whether a sandbox or a snapshot stands on the folder.
    func isUsed(_ root: String) -> Bool { isHeld(root) || Self.isMounted(root) }

    /// Which of these folders sandboxes or snapshots stand on, by one look at the mounts.
    func used(of roots: Set<String>) -> Set<String> {
        let mounted = Self.mounted()
        return roots.filter { isHeld($0) || mounted?.contains(Substring(Self.escaped($0))) ?? true }
    }

    /// Whether a sandbox's overlay uses the folder.
    static func isMounted(_ root: String) -> Bool { mounted()?.contains(Substring(escaped(root))) ?? true }

    /// As the kernel writes it (proc_pid_mounts(5)).
    private static func escaped(_ root: String) -> String {
        root.split(separator: " ", omittingEmptySubsequences: false).joined(separator: "\\040")
    }

    /// What mounts are called, and what overlays have among their layers: a sandbox's overlay has the image's name; other
    /// programs' have it among their layers. Nil where that cannot be read.
    private static func mounted() -> Set<Substring>? {
        guard let mounts = File.text("/proc/self/mounts") else { return nil }
        var found: Set<Substring> = []
        for line in mounts.split(separator: "\n") {
            let words = line.split { $0 == " " || $0 == "," }
            if let name = line.split(separator: " ", maxSplits: 1).first { found.insert(name) }
            for option in words where option.hasPrefix("lowerdir=") {
                found.formUnion(option.dropFirst(9).split(separator: ":"))
            }
        }
        return found
    }

    /// Removes a file or folder, if it exists. If that fails, it is retried later.
    func remove(_ path: String) {
        do throws(RemovalError) { try TreeRemoval.remove(path) } catch { leftovers.take(files: path) }
    }
}
