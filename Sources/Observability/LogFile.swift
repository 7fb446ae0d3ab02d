import System

#if canImport(Glibc)
    import Glibc
#endif

/// Where the log goes, and what is kept of it.
package struct LogFileSettings: Hashable, Sendable {
    package var path = "/var/log/sallyport/server.log"
    /// Bytes after which it is rotated.
    package var maxBytes = 100 << 20
    /// How many earlier files are kept: `path.1` is the latest.
    package var backups = 5
    /// Seconds after which it is rotated; 0 for never.
    package var maxAge = 0
    /// Whether earlier files are compressed, by gzip(1).
    package var compresses = true

    package init() {}
}

/// A log file that is rotated by size and age. One process writes it, so that no line is lost or cut in a rotation: a line
/// is in one file, and each file begins with one.
///
/// It belongs to this user alone (0600), and neither it nor what it becomes is reached through a link.
package struct LogFile: ~Copyable {
    private let settings: LogFileSettings
    private let clock: () -> Int64
    private var file: FileDescriptor
    private var size: Int
    /// When the file's first line was written, in Unix seconds.
    private var began: Int64
    /// Whether the last line is whole.
    private var endsLine = true
    private var compression: LogCompression?

    /// - Parameter clock: Unix seconds.
    /// - Throws: `SystemCallError`: ELOOP for a link, EEXIST for what is no file of this user's alone, EAGAIN for one that
    ///   another process writes.
    package init(_ settings: LogFileSettings, clock: @escaping () -> Int64 = { Int64(time(nil)) })
        throws(SystemCallError)
    {
        let opened = try Self.open(settings.path, clock())
        let file = try FileDescriptor(opened.descriptor)
        (self.settings, self.clock) = (settings, clock)
        self.file = file
        (size, began) = (opened.size, opened.began)
        compression = settings.compresses ? LogCompression(recovering: settings.path + ".1") : nil
    }

    /// Throws what `init` would, and changes nothing that is there.
    package static func check(_ settings: LogFileSettings) throws(SystemCallError) {
        _ = try FileDescriptor(open(settings.path, 0).descriptor)
    }

    private static func open(
        _ path: String, _ now: Int64
    ) throws(SystemCallError) -> (descriptor: CInt, size: Int, began: Int64) {
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex { mkdir(String(path[..<slash]), 0o700) }
        let file = try FileDescriptor(
            opening: path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, mode: 0o600)
        var status = stat()
        guard fstat(file.number, &status) == 0 else { throw .last }
        guard status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid(), status.st_nlink == 1 else {
            throw SystemCallError(code: EEXIST)
        }
        guard fchmod(file.number, 0o600) == 0, FileLock.take(file.number) else { throw .last }
        let began = status.st_size == 0 ? now : min(now, File.birth(of: file.number) ?? now)
        return (file.release(), Int(status.st_size), began)
    }

    /// Appends lines, and rotates between two of them where it is due. A line that is not whole yet may end later.
    /// - Returns: what could not be written.
    package mutating func append(_ bytes: [UInt8]) -> ArraySlice<UInt8> {
        if isMoved { reopen() }
        rotateIfOld()
        var rest = bytes[...]
        while !rest.isEmpty {
            let part = rest.prefix(Self.part(of: rest, room: settings.maxBytes - size))
            // A line that never ends is cut, too: better than a file without a bound.
            if part.count > settings.maxBytes - size, size > 0, endsLine || size > settings.maxBytes * 2 {
                let full = size
                rotate()
                // Where it could not be, it grows.
                if size < full { continue }
            }
            let written = write(part)
            rest = rest.dropFirst(written)
            if written < part.count { break }
        }
        return rest
    }

    /// How many bytes of whole lines there is room for; of the first line, if there is none for it.
    private static func part(of lines: ArraySlice<UInt8>, room: Int) -> Int {
        let newline = UInt8(ascii: "\n")
        if lines.count <= room { return lines.count }
        if let last = lines.prefix(max(0, room)).lastIndex(of: newline) { return last + 1 - lines.startIndex }
        return lines.firstIndex(of: newline).map { $0 + 1 - lines.startIndex } ?? lines.count
    }

    private mutating func write(_ bytes: ArraySlice<UInt8>) -> Int {
        var rest = bytes
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(file.number, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { break }
            size += count
            endsLine = rest[rest.startIndex + count - 1] == UInt8(ascii: "\n")
            rest = rest.dropFirst(count)
        }
        return bytes.count - rest.count
    }

    /// Rotates a file that has become too old.
    package mutating func rotateIfOld() {
        if settings.maxAge > 0, size > 0, endsLine, clock() - began >= Int64(settings.maxAge) { rotate() }
    }

    /// Lets a compression that has ended take effect, without waiting.
    /// - Returns: whether one is under way.
    package mutating func look() -> Bool {
        if compression?.hasEnded() == true { compression = nil }
        return compression != nil
    }

    /// Waits for what is under way.
    package mutating func finish() {
        compression?.wait()
        compression = nil
    }

    // MARK: rotating

    private mutating func rotate() {
        finish()
        let path = settings.path
        func name(_ number: Int, _ ending: String) -> String { "\(path).\(number)\(ending)" }
        for ending in ["", ".gz"] {
            unlink(name(max(1, settings.backups), ending))
            for number in stride(from: settings.backups - 1, to: 0, by: -1) {
                rename(name(number, ending), name(number + 1, ending))
            }
        }
        // Where it cannot be moved it goes on as it is.
        guard (settings.backups == 0 ? unlink(path) : rename(path, name(1, ""))) == 0 else { return }
        guard reopen(), settings.backups > 0, settings.compresses else { return }
        compression = LogCompression(of: name(1, ""))
    }

    /// Whether somebody else has moved it away.
    private var isMoved: Bool {
        var here = stat(), there = stat()
        guard fstat(file.number, &here) == 0, lstat(settings.path, &there) == 0 else { return true }
        return here.st_ino != there.st_ino || here.st_dev != there.st_dev
    }

    /// Where there can be no other file, the one that is open goes on.
    @discardableResult
    private mutating func reopen() -> Bool {
        guard let next = try? Self.open(settings.path, clock()), let opened = try? FileDescriptor(next.descriptor)
        else {
            return false
        }
        file = opened
        (size, began, endsLine) = (next.size, next.began, true)
        return true
    }
}

/// A file that becomes a gzip file. The old one is there until the new one is whole.
struct LogCompression: Sendable {
    private let path: String
    private let process: pid_t

    /// nil where there is no gzip, or no place: the file stays as it is.
    init?(of path: String) {
        self.path = path
        let part = path + ".gz.part"
        unlink(part)
        guard let input = try? FileDescriptor(opening: path, O_RDONLY | O_NOFOLLOW),
            let output = try? FileDescriptor(opening: part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
        else { return nil }
        var launch = ProcessLaunch(["gzip", "-c"], environment: [])
        launch.searchPath = "/usr/bin:/bin"
        (launch.input, launch.output) = (input.number, output.number)
        guard let process = try? launch.start() else {
            unlink(part)
            return nil
        }
        self.process = process
    }

    /// Goes on with what an earlier process left.
    init?(recovering path: String) {
        unlink(path + ".gz.part")
        // The new one was whole, and the old one was about to go.
        if access(path + ".gz", F_OK) == 0 { unlink(path) }
        guard access(path, F_OK) == 0 else { return nil }
        self.init(of: path)
    }

    func hasEnded() -> Bool {
        var status: Int32 = 0
        switch waitpid(process, &status, WNOHANG) {
        case 0: return false
        case process: end(ProcessExit(waited: status))
        default: end(.exited(1))
        }
        return true
    }

    func wait() { end(ProcessExit(waitingFor: process)) }

    private func end(_ exit: ProcessExit) {
        let part = path + ".gz.part"
        if exit == .exited(0), rename(part, path + ".gz") == 0 { unlink(path) } else { unlink(part) }
    }
}
