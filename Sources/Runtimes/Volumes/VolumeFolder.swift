import CLinux
import Netfilter
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The folder of one named volume: its record, its disk, and the files on that.
struct VolumeFolder: Hashable, Sendable {
    let path: String

    var disk: VolumeDisk { VolumeDisk(folder: path) }
    /// What sandboxes see. Not the disk's own root, which may hold `lost+found`.
    var files: String { disk.path + "/data" }

    /// Makes it in its folder, which is there and empty.
    /// - Parameter source: a folder with the files that it is to begin with; nil for none.
    func create(
        _ record: VolumeRecord, _ limits: DiskLimits, from source: String? = nil, reserve: DiskReserve
    ) throws(RuntimeError) {
        var record = record
        record.bytes = try limits.make(disk, bytes: record.bytes ?? 0)
        guard mkdir(files, 0o755) == 0 else { throw failure("making") }
        if let source { try copy(from: source, into: files, reserve: reserve) }
        do throws(SystemCallError) {
            // Whoever moves it to its name must find it whole, after a power failure, too.
            try record.write(to: path)
        } catch { throw .system(action: "writing the record in \(path)", reason: "\(error)") }
    }

    private static let copyMilliseconds = 600_000

    /// Copies a folder's contents into an empty folder of the volume, with its owner and mode: links as links, nothing
    /// through them. The program can write nowhere else.
    func copy(from source: String, into files: String, reserve: DiskReserve) throws(RuntimeError) {
        let outcome: Tool.Outcome
        do throws(ImageError) {
            outcome = try Tool.find("cp", package: "coreutils").run(
                ["--archive", "--", source + "/.", files], home: files, milliseconds: Self.copyMilliseconds,
                confined: true, reserve: reserve)
        } catch { throw .system(action: "copying files into a volume", reason: "\(error)") }
        if let shortage = outcome.shortage { throw shortage }
        guard outcome.code == 0 else {
            throw .volume(
                VolumeProblem(.claimFailed, "they could not all be copied into the volume; is it too small for them?"))
        }
    }

    /// Lets one at a time fill the volume. A server that ends lets go of it.
    /// - Parameter milliseconds: how long others are waited for.
    /// - Returns: a descriptor, which holds the lock.
    func lock(within milliseconds: Int) throws(RuntimeError) -> FileDescriptor {
        let lock: FileDescriptor
        do throws(SystemCallError) {
            lock = try FileDescriptor(opening: path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        } catch { throw .system(action: "opening \(path)", reason: "\(error)") }
        let step: UInt32 = 20
        for _ in 0...max(0, milliseconds / Int(step)) {
            if flock(lock.number, LOCK_EX | LOCK_NB) == 0 { return lock }
            guard errno == EWOULDBLOCK || errno == EINTR else { throw failure("locking") }
            usleep(step * 1000)
        }
        throw .volume(
            VolumeProblem(.claimFailed, "volume \(path.splitAtLastSlash.name) is still being filled: try again later"))
    }

    func openFiles() throws(RuntimeError) -> FileDescriptor {
        do throws(SystemCallError) {
            return try FileDescriptor(opening: files, LINUX_O_PATH | O_DIRECTORY | O_NOFOLLOW)
        } catch { throw .system(action: "opening \(files)", reason: "\(error)") }
    }

    func unmount() {
        guard access(disk.image, F_OK) == 0 else { return }
        while linux_is_mount_point(disk.path) == 1, linux_unmount_detached(disk.path) == 0 {}
    }

    func failure(_ action: String) -> RuntimeError {
        .system(action: "\(action) \(path)", reason: String(cString: strerror(errno)))
    }
}

/// The disk of a named volume. Unlike a sandbox's it outlives the machine's power, so it has a journal, and what is
/// synchronised inside is on the machine's disk.
struct VolumeDisk: Hashable, Sendable {
    /// The volume's folder.
    let folder: String

    var path: String { folder + "/disk" }
    /// Only where images hold disks to their limits.
    var image: String { folder + "/disk.img" }

    /// Does nothing if there is no image, or if it is mounted.
    func mount() throws(RuntimeError) {
        guard access(image, F_OK) == 0, linux_is_mount_point(path) != 1 else { return }
        let code = linux_mount_shared_image(image, path, "discard,noinit_itable,errors=remount-ro")
        guard code == 0 else {
            throw .system(action: "mounting \(image)", reason: String(cString: strerror(-code)))
        }
    }

    /// Makes the image, with an empty file system.
    func format(bytes: Int64, _ program: Tool) throws(RuntimeError) {
        func failed(_ reason: String) -> RuntimeError {
            .system(action: "making a volume of \(bytes) bytes", reason: reason)
        }
        let descriptor = open(image, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failed(String(cString: strerror(errno))) }
        defer { close(descriptor) }
        guard ftruncate(descriptor, off_t(bytes)) == 0 else { throw failed(String(cString: strerror(errno))) }
        let arguments = [
            "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-i", "16384", "-m", "0", "-O", "^resize_inode", "-E",
            "lazy_itable_init=1,lazy_journal_init=1,nodiscard", image,
        ]
        let outcome: Tool.Outcome
        do throws(ImageError) { outcome = try program.run(arguments, home: "/", milliseconds: 60_000) } catch {
            throw failed("\(error)")
        }
        guard outcome.code == 0, fsync(descriptor) == 0 else { throw failed("mke2fs: \(outcome.errors.prefix(200))") }
    }
}
