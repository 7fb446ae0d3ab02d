#if canImport(Glibc)
    import Glibc
#endif

/// Mode and owner in a request (docs/wire.md#files). Absent ones are not changed.
struct FileRights: Decodable, Hashable, Sendable {
    var mode: FileMode?
    /// A name or digits.
    var owner: String?
    var group: String?

    /// The same as numbers.
    struct Resolved: Hashable, Sendable {
        var mode: FileMode?
        var owner: UInt32?
        var group: UInt32?

        /// Set the owner first, because chown(2) clears set-user-ID bits.
        func apply(to path: String) throws(FileError) {
            if owner != nil || group != nil {
                guard chown(path, owner ?? .max, group ?? .max) == 0 else { throw .call("change the owner of", path) }
            }
            if let mode {
                guard chmod(path, mode.bits) == 0 else { throw .call("change the mode of", path) }
            }
        }

        func apply(to descriptor: CInt, of path: String) throws(FileError) {
            if owner != nil || group != nil {
                guard fchown(descriptor, owner ?? .max, group ?? .max) == 0 else {
                    throw .system("change the owner of \(path)", code: errno)
                }
            }
            if let mode {
                guard fchmod(descriptor, mode.bits) == 0 else {
                    throw .system("change the mode of \(path)", code: errno)
                }
            }
        }
    }

    /// Some clients send an empty name for none.
    func resolved(_ names: Accounts) throws(FileError) -> Resolved {
        var resolved = Resolved(mode: mode)
        if let owner, !owner.isEmpty {
            guard let number = names.users[owner] else { throw .invalidRequest("there is no user \(owner)") }
            resolved.owner = number
        }
        if let group, !group.isEmpty {
            guard let number = names.groups[group] else { throw .invalidRequest("there is no group \(group)") }
            resolved.group = number
        }
        return resolved
    }
}
