import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Copies the files that an image has at a volume's mount path into the volume while it is empty, as container engines do:
/// else mounting it would take them away. With owners and modes, which are the same numbers in a volume as in an image.
///
/// They are copied beside the volume's files and moved there when all are, one by one and to names that are free: nothing
/// that sandboxes have written is replaced or removed, whatever runs meanwhile and whenever this is cut short.
struct VolumeSeed {
    let folder: VolumeFolder
    /// The folders of layers and of the image, the topmost first, which nobody writes to.
    let lower: [String]
    let mountPath: MountPath

    /// While the copy is not whole. What an ended server has left is removed by the next.
    private static let unfinished = "seed-"
    /// The whole copy, until the last of it has been moved.
    private var whole: String { folder.disk.path + "/seed" }
    private static let patience = 60_000

    /// Call for a volume that is mounted to be written to, as a whole. Does nothing if it has files.
    /// - Parameter reserve: the space of the server's disk that is kept.
    func plant(reserve: DiskReserve) throws(RuntimeError) {
        let lock = try folder.lock(within: Self.patience).release()
        defer { close(lock) }
        if access(whole, F_OK) != 0 {
            guard File.names(in: folder.files)?.isEmpty == true, let source = try imageFolder() else {
                return
            }
            try copy(from: source, reserve: reserve)
        }
        try move()
    }

    private func copy(from source: borrowing FileDescriptor, reserve: DiskReserve) throws(RuntimeError) {
        for name in File.names(in: folder.disk.path) ?? [] where name.hasPrefix(Self.unfinished) {
            try remove(folder.disk.path + "/" + name)
        }
        let copy = folder.disk.path + "/" + Self.unfinished + String(UInt64.random(in: .min ... .max), radix: 36)
        do throws(RuntimeError) {
            guard mkdir(copy, 0o700) == 0 else { throw folder.failure("making a folder in") }
            try folder.copy(from: "/proc/\(getpid())/fd/\(source.number)", into: copy, reserve: reserve)
            guard File.names(in: folder.files)?.isEmpty == true else { return try remove(copy) }
            guard rename(copy, whole) == 0 else { throw folder.failure("filling") }
        } catch {
            try? TreeRemoval.remove(copy)
            guard case .volume(let problem) = error else { throw error }
            throw .volume(VolumeProblem(problem.code, "the image's files at \(mountPath): \(problem)"))
        }
    }

    private func move() throws(RuntimeError) {
        do throws(SystemCallError) {
            let from = try FileDescriptor(opening: whole, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
            let to = try FileDescriptor(opening: folder.files, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
            var status = stat()
            guard fstat(from.number, &status) == 0, fchown(to.number, status.st_uid, status.st_gid) == 0,
                fchmod(to.number, status.st_mode & 0o7777) == 0
            else { throw .last }
            for name in Array(try FolderStream(of: from.number)) {
                let code = linux_rename_at_new(from.number, name.cString, to.number, name.cString)
                guard code == 0 || code == -EEXIST else { throw SystemCallError(code: -code) }
            }
        } catch {
            if error.code == ENOENT { return }
            throw .system(action: "filling \(folder.files)", reason: "\(error)")
        }
        try remove(whole)
    }

    private func remove(_ path: String) throws(RuntimeError) {
        do throws(RemovalError) { try TreeRemoval.remove(path) } catch {
            throw .system(action: "removing \(path)", reason: "\(error)")
        }
    }

    /// nil if the image has no folder there.
    private func imageFolder() throws(RuntimeError) -> FileDescriptor? {
        let root = try openLower()
        guard let found = try? FolderSteps.open(mountPath.steps, below: root.number, missing: .refused),
            PlaceKind(found.number) == .folder
        else { return nil }
        return found
    }

    /// The files as a sandbox has them before it writes. Layers are mounted over each other for it, where nothing stays of
    /// them: the mount ends with its last descriptor.
    private func openLower() throws(RuntimeError) -> FileDescriptor {
        let place = folder.path + "/lower"
        do throws(SystemCallError) {
            guard lower.count > 1 else { return try FileDescriptor(opening: lower[0], LINUX_O_PATH | O_DIRECTORY) }
            guard mkdir(place, 0o700) == 0 || errno == EEXIST else { throw .last }
            defer {
                while linux_is_mount_point(place) == 1, linux_unmount_detached(place) == 0 {}
                rmdir(place)
            }
            let options = RootMount.options(lower: lower.joined(separator: ":"))
            guard linux_mount("overlay", place, "overlay", RootMount.flags | UInt(MS_RDONLY), options) == 0 else {
                throw .last
            }
            return try FileDescriptor(opening: place, LINUX_O_PATH | O_DIRECTORY)
        } catch { throw .system(action: "opening the image's files for a volume", reason: "\(error)") }
    }
}
