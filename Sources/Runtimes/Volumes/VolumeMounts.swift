import CLinux
import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The volumes of one sandbox as mounts that are attached nowhere yet. The OCI runtime's process attaches them in its own
/// mount namespace, so they are never seen in the machine's, nothing is left of them when that process or this one ends,
/// and a removal of the sandbox's folder cannot meet them.
///
/// Unchecked: one thread adds to it, and hands it on when all are there.
final class VolumeMounts: @unchecked Sendable {
    private(set) var attachments: [ProcessLaunch.Mounts.Attachment] = []
    private var places: [(place: CInt, kind: PlaceKind)] = []

    deinit {
        for mount in attachments { close(mount.tree) }
        for (place, _) in places { close(place) }
    }

    /// Where the OCI runtime finds a volume, by its place in the plan: a file or folder in the sandbox's folder.
    static let folderName = "volumes"
    static func target(_ place: Int, in folder: SandboxFolder) -> String { "\(folder.path)/\(folderName)/\(place)" }

    /// Adds the next entry of a plan.
    /// - Parameters:
    ///   - source: a descriptor (O_PATH) of its files, taken over.
    ///   - users: the namespace by which owners are mapped: who is root in the sandbox is root in the volume.
    ///   - seen: the sandbox's folder as the OCI runtime has it.
    func add(
        _ entry: VolumePlan.Entry, of plan: VolumePlan, source: consuming FileDescriptor, users: SandboxUsers?,
        in folder: SandboxFolder, seen: SandboxFolder
    ) throws(RuntimeError) {
        let volume = entry.volume
        guard let kind = PlaceKind(source.number) else {
            throw .volume(VolumeProblem(.unsupportedBackend, "volume \(volume.name) is neither a folder nor a file"))
        }
        if let parent = entry.parent, let below = entry.below {
            try prepare(below, of: volume, kind, on: places[parent], isReadOnly: plan.entries[parent].volume.isReadOnly)
        } else {
            try check(volume, kind, in: folder)
        }
        try makeTarget(places.count, kind, in: folder)
        let attributes =
            UInt64(LINUX_MOUNT_NO_SET_ID | LINUX_MOUNT_NO_DEVICES)
            | (volume.isReadOnly ? UInt64(LINUX_MOUNT_READ_ONLY) : 0)
        let tree = linux_mount_view(source.number, attributes, users?.descriptor ?? -1)
        guard tree >= 0 else {
            throw .volume(
                VolumeProblem(
                    .unsupportedBackend,
                    "the file system of volume \(volume.name) cannot be mounted for a sandbox's users (id-mapped mounts): "
                        + String(cString: strerror(-tree))))
        }
        attachments.append(.init(tree: tree, target: Self.target(places.count, in: seen)))
        places.append((source.release(), kind))
    }

    /// What it is mounted on in another volume, made here since nobody else may have the right to. Others may write there and
    /// put a link in its place before the OCI runtime mounts it: that leads somewhere in this sandbox, never out of it.
    private func prepare(
        _ path: PathSteps, of volume: SandboxVolume, _ kind: PlaceKind, on parent: (place: CInt, kind: PlaceKind),
        isReadOnly: Bool
    ) throws(RuntimeError) {
        func problem(_ reason: String) -> RuntimeError {
            .volume(
                VolumeProblem(
                    .invalidMountPath, "volume \(volume.name) cannot be mounted at \(volume.mountPath): \(reason)"))
        }
        do throws(SystemCallError) {
            let missing: FolderSteps.Missing = isReadOnly ? .refused : kind == .folder ? .folder : .file
            let found = try FolderSteps.open(path, below: parent.place, missing: missing)
            guard PlaceKind(found.number) == kind else { throw SystemCallError(code: ENOTDIR) }
        } catch {
            switch error.code {
            case ENOENT: throw problem("the volume around it is read-only, and has no \(path.text)")
            case ELOOP: throw problem("the volume around it has a symbolic link there")
            case ENOTDIR: throw problem("the volume around it has something else there")
            default: throw problem("\(error)")
            }
        }
    }

    /// Whether the image lets it be mounted there. Nothing of the sandbox runs yet, so what is found stays so.
    private func check(_ volume: SandboxVolume, _ kind: PlaceKind, in folder: SandboxFolder) throws(RuntimeError) {
        // A file system in memory is mounted on it, whatever the image has there.
        guard volume.mountPath.steps.steps.first != "run" else { return }
        func problem(_ reason: String) -> RuntimeError {
            .volume(
                VolumeProblem(
                    .invalidMountPath, "volume \(volume.name): the image has \(reason) at \(volume.mountPath)"))
        }
        do throws(SystemCallError) {
            let root = try FileDescriptor(opening: folder.rootfs, LINUX_O_PATH | O_DIRECTORY)
            let found = linux_open_inside(root.number, volume.mountPath.steps.text, LINUX_O_PATH)
            guard found >= 0 else { throw SystemCallError(code: -found) }
            let place = try FileDescriptor(found)
            guard PlaceKind(place.number) == kind else { throw SystemCallError(code: ENOTDIR) }
        } catch {
            switch error.code {
            case ENOENT: return
            case ELOOP: throw problem("a symbolic link, or one on the way: name the folder that it leads to")
            case ENOTDIR:
                throw problem(kind == .folder ? "something other than a folder" : "something other than a file")
            default: throw .system(action: "looking at \(volume.mountPath) of the image", reason: "\(error)")
            }
        }
    }

    /// In the machine's mount namespace, where it stays empty.
    private func makeTarget(_ place: Int, _ kind: PlaceKind, in folder: SandboxFolder) throws(RuntimeError) {
        let all = folder.file(Self.folderName), target = Self.target(place, in: folder)
        guard mkdir(all, 0o755) == 0 || errno == EEXIST else {
            throw .system(action: "making \(all)", reason: String(cString: strerror(errno)))
        }
        switch kind {
        case .folder:
            guard mkdir(target, 0o755) == 0 || errno == EEXIST else {
                throw .system(action: "making \(target)", reason: String(cString: strerror(errno)))
            }
        case .file: try SandboxFolder.write("", to: target, mode: 0o644)
        }
    }
}
