import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Copies the files that an image has at a volume's mount path into the volume while it is empty, as container engines do:
/// else mounting it would take them away. With owners and modes, which are the same numbers in a volume as in an image.
struct VolumeSeed {
    let folder: VolumeFolder
    /// The image's folder, which nobody writes to.
    let image: String
    let mountPath: MountPath

    /// Call for a volume that is mounted to be written to, as a whole. Does nothing if it has files.
    /// - Parameter reserve: the space of the server's disk that is kept.
    func plant(reserve: DiskReserve) throws(RuntimeError) {
        let lock = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
        guard lock >= 0, flock(lock, LOCK_EX) == 0 else { throw folder.failure("opening") }
        defer { close(lock) }
        // Left by a server that was ended meanwhile, before any sandbox had the volume to write to.
        let wasCutOff = access(folder.unseeded, F_OK) == 0
        guard let names = File.names(in: folder.files), wasCutOff || names.isEmpty, let source = imageFolder() else {
            return
        }
        do throws(RemovalError) {
            for name in names { try TreeRemoval.remove(folder.files + "/" + name) }
        } catch { throw .system(action: "emptying \(folder.files)", reason: "\(error)") }
        do throws(SystemCallError) {
            try File.write([], to: folder.unseeded, mode: 0o600, synchronizes: true)
        } catch { throw .system(action: "writing \(folder.unseeded)", reason: "\(error)") }
        do throws(RuntimeError) {
            try folder.copy(from: "/proc/\(getpid())/fd/\(source.number)", reserve: reserve)
        } catch {
            guard case .volume(let problem) = error else { throw error }
            throw .volume(VolumeProblem(problem.code, "the image's files at \(mountPath): \(problem)"))
        }
        unlink(folder.unseeded)
    }

    /// nil if the image has no folder there.
    private func imageFolder() -> FileDescriptor? {
        guard let root = try? FileDescriptor(opening: image, LINUX_O_PATH | O_DIRECTORY),
            let found = try? FolderSteps.open(mountPath.steps, below: root.number, missing: .refused),
            PlaceKind(found.number) == .folder
        else { return nil }
        return found
    }
}
