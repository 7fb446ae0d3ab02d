import CLinux
import Netfilter
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The files of the server's machine that sandboxes may be given.
struct HostFolders: Hashable, Sendable {
    /// With what is below them. They may contain links, unlike what requests name below them: who writes the
    /// configuration is trusted, who writes into a shared folder is not.
    let allowed: [HostPath]
    /// The server's own files and folders, which are given to nobody; without links, as far as they are there.
    let withheld: [String]

    init(allowed: [HostPath], withheld: [String]) {
        self.allowed = allowed
        self.withheld = withheld.map(Self.canonical)
    }

    /// - Parameter withheld: without links already.
    init(allowed: [HostPath], withheldAsIs withheld: [String]) { (self.allowed, self.withheld) = (allowed, withheld) }

    /// The same without more files and folders.
    func withholding(_ more: [String]) -> HostFolders {
        HostFolders(allowed: allowed, withheldAsIs: withheld + more.map(Self.canonical))
    }

    private static func canonical(_ path: String) -> String {
        if let real = realpath(path, nil) {
            defer { free(real) }
            return String(cString: real)
        }
        let (folder, name) = (path.splitAtLastSlash.folder, path.splitAtLastSlash.name)
        guard folder != path, !folder.isEmpty, folder != "/", !name.isEmpty else { return path }
        return canonical(folder) + "/" + name
    }

    /// The innermost allowed folder that holds a path.
    private func root(of path: HostPath) -> HostPath? {
        allowed.filter { path.steps.isWithin($0.steps) }.max { $0.steps.steps.count < $1.steps.steps.count }
    }

    /// For `VolumeThreads`: what answers, or does not, when a path is opened.
    func storage(of path: HostPath) -> Set<String> { root(of: path).map { ["\($0)"] } ?? [] }

    /// Opens what a volume names, and makes it as a folder if it is missing.
    ///
    /// - Parameter makes: false only checks it; then nil is answered for what would have to be made.
    func open(
        _ path: HostPath, _ volume: SandboxVolume, makes: Bool
    ) throws(VolumeProblem) -> FileDescriptor? {
        guard let root = root(of: path) else {
            throw VolumeProblem(
                .hostPathNotAllowed,
                allowed.isEmpty
                    ? "host paths are not allowed: this server's storage.allowed_host_paths is empty"
                    : "the host path \(path) is not within storage.allowed_host_paths of this server")
        }
        guard let start = try? FileDescriptor(opening: "\(root)", LINUX_O_PATH) else {
            throw VolumeProblem(
                .hostPathNotFound,
                "the folder \(root) of storage.allowed_host_paths is not there: the operator has to make it")
        }
        let rest = path.steps.dropFirst(root.steps.steps.count)
        let found: FileDescriptor
        do throws(SystemCallError) {
            found = try FolderSteps.open(rest, below: start.number, missing: makes ? .folder : .refused) {
                (folder, name) in Self.path(of: folder).map { !isWithheld(($0 == "/" ? "" : $0) + "/" + name) } ?? false
            }
        } catch {
            switch error.code {
            case ENOENT where !makes: return nil
            case FolderSteps.notAllowed: throw Self.isOwn(path)
            case ELOOP:
                throw VolumeProblem(
                    .hostPathNotAllowed, "the host path \(path) goes through a symbolic link: name the folder itself")
            default:
                throw VolumeProblem(.hostPathCreateFailed, "the host path \(path) cannot be opened or made: \(error)")
            }
        }
        try check(found.number, path)
        return try VolumeParts.open(volume, in: consume found, makes: makes)
    }

    private func check(_ place: CInt, _ path: HostPath) throws(VolumeProblem) {
        guard PlaceKind(place) != nil else {
            throw VolumeProblem(.invalidHostPath, "the host path \(path) is neither a folder nor a file")
        }
        // By where it really is, since the allowed folder may be reached through links.
        guard let real = Self.path(of: place), !isWithheld(real) else { throw Self.isOwn(path) }
    }

    private static func isOwn(_ path: HostPath) -> VolumeProblem {
        VolumeProblem(.hostPathNotAllowed, "the host path \(path) holds the server's own files")
    }

    private func isWithheld(_ real: String) -> Bool {
        func isWithin(_ path: String, _ folder: String) -> Bool {
            path == folder || path.hasPrefix(folder == "/" ? "/" : folder + "/")
        }
        return withheld.contains { isWithin(real, $0) || isWithin($0, real) }
    }

    private static func path(of descriptor: CInt) -> String? {
        guard let real = realpath("/proc/self/fd/\(descriptor)", nil) else { return nil }
        defer { free(real) }
        return String(cString: real)
    }
}

/// The part of a volume that a sandbox sees.
enum VolumeParts {
    /// - Parameter makes: false answers nil for what would have to be made.
    static func open(
        _ volume: SandboxVolume, in whole: consuming FileDescriptor, makes: Bool
    ) throws(VolumeProblem) -> FileDescriptor? {
        guard let part = volume.subPath else { return whole }
        do throws(SystemCallError) {
            let found = try FolderSteps.open(part.steps, below: whole.number, missing: makes ? .folder : .refused)
            guard PlaceKind(found.number) != nil else { throw SystemCallError(code: ENOTSUP) }
            return found
        } catch {
            let reason: String
            switch error.code {
            case ENOENT where !makes: return nil
            case ELOOP: reason = "goes through a symbolic link: name the folder itself"
            case ENOTDIR: reason = "goes through a file"
            case ENOTSUP: reason = "is neither a folder nor a file"
            default: reason = "cannot be opened or made: \(error)"
            }
            throw VolumeProblem(.invalidSubPath, "the subPath \(part) of volume \(volume.name) \(reason)")
        }
    }
}
