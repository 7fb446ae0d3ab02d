import Glibc

/// A file that lines are added to, put aside when it is large, and opened anew when somebody else has put it aside.
struct AuditFile: ~Copyable {
    let path: String
    /// Bytes after which the file becomes `path.1`, in place of the one before; 0 for never.
    let limit: Int
    private var descriptor: CInt = -1
    private var inode: UInt64 = 0
    private var size = 0
    private var endsInLine = true

    init(path: String, limit: Int) {
        self.path = path
        self.limit = limit
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Adds whole lines.
    /// - Throws: `EgressError.storage`; then none of them is in the file, or the file ends with a part of them.
    mutating func append(_ lines: [UInt8]) throws(EgressError) {
        try follow()
        if limit > 0, size > 0, size + lines.count > limit {
            guard rename(path, path + ".1") == 0 else { throw AtomicFile.failure(path) }
            try open()
        }
        // A part of a line that a full disk left must not become the beginning of another.
        var rest = ((endsInLine ? [] : [UInt8(ascii: "\n")]) + lines)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw AtomicFile.failure(path) }
            size += count
            rest = rest.dropFirst(count)
            endsInLine = rest.isEmpty
        }
    }

    /// Opens the file where it is not open, or where its name is another file's by now.
    private mutating func follow() throws(EgressError) {
        var status = stat()
        if descriptor >= 0, stat(path, &status) == 0, UInt64(status.st_ino) == inode { return }
        try open()
    }

    private mutating func open() throws(EgressError) {
        let opened = Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard opened >= 0 else { throw AtomicFile.failure(path) }
        if descriptor >= 0 { close(descriptor) }
        descriptor = opened
        var status = stat()
        fstat(opened, &status)
        inode = UInt64(status.st_ino)
        size = Int(status.st_size)
    }
}
