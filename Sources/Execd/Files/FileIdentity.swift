import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// Whose rights a file operation has.
///
/// Linux keeps the ids that file systems look at for each thread. A change of them from 0 takes the capabilities away
/// that would override permissions (capabilities(7), "Effect of user ID changes on capabilities"), and neither the
/// process nor another thread notices.
struct FileIdentity: Hashable, Sendable {
    let user: UInt32
    let group: UInt32

    /// Does `work` with this identity and no supplementary groups, on the calling thread, then gives it back its own.
    /// `work` must not leave the thread.
    /// - Throws: `FileError.identityRefused` where the kernel does not allow the change; nothing was done then.
    func perform<Result>(_ work: () throws -> Result) throws -> Result {
        let own = (user: geteuid(), group: getegid(), groups: Self.supplementaryGroups())
        if own.user != 0, own.user == user, own.group == group { return try work() }
        guard linux_thread_set_groups(0, nil) == 0 else { throw refusal }
        defer { Self.demand(linux_thread_set_groups(own.groups.count, own.groups)) }
        defer { Self.demand(linux_thread_set_fsgid(own.group)) }
        guard linux_thread_set_fsgid(group) == 0 else { throw refusal }
        defer { Self.demand(linux_thread_set_fsuid(own.user)) }
        guard linux_thread_set_fsuid(user) == 0 else { throw refusal }
        return try work()
    }

    private var refusal: FileError {
        .identityRefused("execd may not act as uid \(user) and gid \(group): it does not run as root")
    }

    private static func supplementaryGroups() -> [UInt32] {
        let count = getgroups(0, nil)
        guard count > 0 else { return [] }
        var groups = [UInt32](repeating: 0, count: Int(count))
        return Array(groups.prefix(Int(max(0, getgroups(count, &groups)))))
    }

    /// A thread that keeps a foreign identity would do the next request's work with it.
    private static func demand(_ status: CInt) {
        guard status == 0 else { fatalError("a thread could not be given its identity back") }
    }
}
