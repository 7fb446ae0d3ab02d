#if canImport(Glibc)
    import Glibc
#endif

/// Mode and owner as a request names them (`Permission` and `FileMetadata` of the contract); absent ones stay as they are.
struct FileRights: Decodable, Hashable, Sendable {
    var mode: FileMode?
    /// A name or digits.
    var owner: String?
    var group: String?

    /// The same in numbers.
    struct Resolved: Hashable, Sendable {
        var mode: FileMode?
        var owner: UInt32?
        var group: UInt32?

        /// Owner first: chown(2) takes set-user-ID bits away.
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

    /// An empty name is no name, as some clients send it.
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
