#if canImport(Glibc)
    import Glibc
#endif

/// The files of a run in the background. To be called with the session's root and identity (`FileWork`): its folder is the
/// session's, which may put there what it likes.
enum BackgroundLog {
    /// Makes the log; no link is followed to it.
    static func make(_ run: BackgroundRun) throws(FileError) {
        _ = try FolderChanges.create(run.folder)
        let descriptor = open(run.log, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw .call("make", run.log) }
        close(descriptor)
    }

    /// - Returns: what is there from a byte on, and the number of the byte after it.
    static func read(_ run: BackgroundRun, from cursor: Int) throws(FileError) -> (bytes: [UInt8], end: Int) {
        let descriptor = open(run.log, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            guard errno == ENOENT else { throw .call("open", run.log) }
            return ([], 0)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw .invalidFile("\(run.log) is not a regular file")
        }
        let start = min(cursor, Int(status.st_size))
        lseek(descriptor, off_t(start), SEEK_SET)
        var bytes: [UInt8] = []
        while bytes.count < BackgroundRun.maxLog {
            guard let piece = FileBytes.read(descriptor, upTo: min(1 << 20, BackgroundRun.maxLog - bytes.count)) else {
                throw .system("read \(run.log)", code: errno)
            }
            if piece.isEmpty { break }
            bytes += piece
        }
        // The rest of a character may be on its way; at the end there is none.
        let isWhole = !run.isRunning && start + bytes.count >= Int(status.st_size)
        if !isWhole { bytes = BackgroundRun.wholeCharacters(bytes) }
        return (bytes, start + bytes.count)
    }

    /// Cuts it when its run has ended.
    static func cut(_ run: BackgroundRun) {
        let descriptor = open(run.log, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            status.st_size > off_t(BackgroundRun.maxLog)
        else { return }
        ftruncate(descriptor, off_t(BackgroundRun.maxLog))
    }
}
