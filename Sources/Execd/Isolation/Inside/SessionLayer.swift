import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// An overlay of a session: a folder of the sandbox below, what the session changes in it above.
struct SessionLayer {
    private let lower, upper, work: CInt

    /// - Parameters:
    ///   - lower: the folder below; stays the caller's.
    ///   - folder: where the layer's own folders are made.
    init(lower: CInt, in folder: String, _ number: Int) throws(SessionFailure) {
        self.lower = lower
        let names = SessionPlan.layer(number)
        upper = try Self.make(folder + "/" + names.upper)
        work = try Self.make(folder + "/" + names.work)
        // The session sees the upper folder's own attributes.
        var status = stat()
        let path = folder + "/" + names.upper
        guard fstat(lower, &status) == 0, chown(path, status.st_uid, status.st_gid) == 0,
            chmod(path, status.st_mode & 0o7777) == 0
        else { throw SessionFailure("preparing \(path)", code: errno) }
    }

    private static func make(_ path: String) throws(SessionFailure) -> CInt {
        guard mkdir(path, 0o755) == 0 else { throw SessionFailure("making \(path)", code: errno) }
        let descriptor = open(path, LINUX_O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { throw SessionFailure("opening \(path)", code: errno) }
        return descriptor
    }

    /// By descriptors, since paths may have any characters, and are the session's by now.
    /// - Parameters:
    ///   - target: the folder to lie over; stays the caller's.
    ///   - path: its name, for errors.
    func mount(on target: CInt, _ path: String) throws(SessionFailure) {
        func link(_ descriptor: CInt) -> String { "/proc/self/fd/\(descriptor)" }
        let options = "lowerdir=\(link(lower)),upperdir=\(link(upper)),workdir=\(link(work)),userxattr"
        guard linux_mount("overlay", link(target), "overlay", UInt(MS_NOSUID | MS_NODEV), options) == 0 else {
            throw SessionFailure("mounting an overlay on \(path)", code: errno, kind: .unsupported)
        }
    }

    func close() {
        Glibc.close(upper)
        Glibc.close(work)
    }
}
