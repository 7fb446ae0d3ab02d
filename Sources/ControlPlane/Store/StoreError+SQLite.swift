import GRDB

/// SQLite's errors say what has happened and not what to do about it.
extension StoreError {
    init(path: String, _ error: any Error) {
        switch error {
        case let known as StoreError: self = known
        case let failure as DatabaseError: self.init(path: path, reason: Self.advice(failure, path) ?? "\(failure)")
        default: self.init(path: path, reason: "\(error)")
        }
    }

    /// What it means and what to do, with SQLite's own number for it; nil for what no operator can mend.
    private static func advice(_ error: DatabaseError, _ path: String) -> String? {
        let code = "SQLite error \(error.extendedResultCode.rawValue)"
        switch error.resultCode {
        case .SQLITE_CORRUPT, .SQLITE_NOTADB:
            return "the file is damaged, or is not a database (\(code)): restore a backup of it. If there is "
                + "none, move it away together with \(path)-wal and \(path)-shm: the server then begins with an empty "
                + "one, and removes the sandboxes and snapshots of before, which it no longer knows"
        case .SQLITE_CANTOPEN, .SQLITE_READONLY, .SQLITE_PERM:
            return
                "the file cannot be opened or written to (\(code)): its folder has to be there, file and folder have to "
                + "belong to the user that the server runs as, and their file system must not be mounted read-only"
        case .SQLITE_FULL:
            return "the disk is full (\(code)): make room on the disk of that file"
        case .SQLITE_IOERR:
            return
                "the disk cannot be read or written (\(code)): see whether it is full (df), and what the kernel says "
                + "about it (dmesg)"
        case .SQLITE_BUSY, .SQLITE_LOCKED:
            return
                "another process keeps the file locked (\(code)): end it, or try again; fuser \(path) says which it is"
        default: return nil
        }
    }
}
