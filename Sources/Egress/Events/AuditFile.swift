import Glibc
import System

/// A log file that is rotated when it is large, and reopened when another program has rotated it.
package struct AuditFile: ~Copyable {
    let path: String
    /// Bytes after which the file is renamed to `path.1`, replacing an earlier one; 0 for never.
    let limit: Int
    private var file: FileDescriptor?
    private var inode: UInt64 = 0
    private var size = 0
    private var endsInLine = true

    package init(path: String, limit: Int) {
        self.path = path
        self.limit = limit
    }

    /// Adds whole lines.
    /// - Throws: `EgressError.storage`; then none of them is in the file, or the file ends with a part of them.
    package mutating func append(_ lines: [UInt8]) throws(EgressError) {
        try follow()
        if limit > 0, size > 0, size + lines.count > limit {
            guard rename(path, path + ".1") == 0 else { throw .storage(path, .last) }
            try open()
        }
        // A full disk may have left a partial line; end it, so that it does not merge with the next.
        var rest = ((endsInLine ? [] : [UInt8(ascii: "\n")]) + lines)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw .storage(path, .last) }
            size += count
            rest = rest.dropFirst(count)
            endsInLine = rest.isEmpty
        }
    }

    private var descriptor: CInt {
        switch file {
        case .some(let file): file.number
        case .none: -1
        }
    }

    /// Opens the file where it is not open, or where its name is another file's by now.
    private mutating func follow() throws(EgressError) {
        var status = stat()
        if descriptor >= 0, stat(path, &status) == 0, UInt64(status.st_ino) == inode { return }
        try open()
    }

    private mutating func open() throws(EgressError) {
        do throws(SystemCallError) {
            file = try FileDescriptor(opening: path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, mode: 0o600)
        } catch {
            throw .storage(path, error)
        }
        var status = stat()
        fstat(descriptor, &status)
        inode = UInt64(status.st_ino)
        size = Int(status.st_size)
    }
}
