import CLinux
import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Goes down from an open folder, one step at a time and through no link, so that whoever can write there cannot lead
/// elsewhere, whenever they try. What is missing may be made.
enum FolderSteps {
    /// What is made where the last step is missing.
    enum Missing: Hashable, Sendable {
        case refused, folder, file
    }

    /// A descriptor (O_PATH) of what is at the end.
    /// - Parameter mayMake: whether a name may be made in an open folder; asked before each.
    /// - Throws: ELOOP for a link, ENOTDIR below a file, ENOENT if nothing may be made, `notAllowed`.
    static func open(
        _ path: PathSteps, below folder: CInt, missing: Missing, mayMake: (CInt, String) -> Bool = { _, _ in true }
    ) throws(SystemCallError) -> FileDescriptor {
        var place = try duplicate(folder)
        for (number, step) in path.steps.enumerated() {
            let isLast = number == path.steps.count - 1
            place = try open(step.text, in: place.number, isLast || missing == .refused ? missing : .folder, mayMake)
        }
        return place
    }

    /// What is thrown where a step may not be made. The calls here never fail with it.
    static let notAllowed = ECANCELED

    private static func open(
        _ name: String, in folder: CInt, _ missing: Missing, _ mayMake: (CInt, String) -> Bool
    ) throws(SystemCallError) -> FileDescriptor {
        let found = linux_open_inside(folder, name, LINUX_O_PATH)
        guard found == -ENOENT, missing != .refused else {
            guard found >= 0 else { throw SystemCallError(code: -found) }
            return try FileDescriptor(found)
        }
        guard mayMake(folder, name) else { throw SystemCallError(code: notAllowed) }
        switch missing {
        case .file:
            let made = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o644)
            guard made >= 0 || errno == EEXIST else { throw .last }
            if made >= 0 { close(made) }
        default:
            guard mkdirat(folder, name, 0o755) == 0 || errno == EEXIST else { throw .last }
        }
        let made = linux_open_inside(folder, name, LINUX_O_PATH)
        guard made >= 0 else { throw SystemCallError(code: -made) }
        return try FileDescriptor(made)
    }

    private static func duplicate(_ descriptor: CInt) throws(SystemCallError) -> FileDescriptor {
        try FileDescriptor(fcntl(descriptor, F_DUPFD_CLOEXEC, 3))
    }
}

/// What a descriptor is of, as far as it can be mounted.
enum PlaceKind: Hashable, Sendable {
    case folder, file

    /// nil for what is neither: sockets and devices would lead out of the sandbox.
    init?(_ descriptor: CInt) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        switch status.st_mode & S_IFMT {
        case S_IFDIR: self = .folder
        case S_IFREG: self = .file
        default: return nil
        }
    }
}
