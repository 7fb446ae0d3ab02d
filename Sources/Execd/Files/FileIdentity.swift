import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// The user and group with whose rights a file operation runs.
///
/// On Linux, each thread has its own file system ids. Changing them from 0 drops the capabilities that override
/// permissions (capabilities(7), "Effect of user ID changes on capabilities"), and does not affect other threads.
struct FileIdentity: Hashable, Sendable {
    let user: UInt32
    let group: UInt32

    /// Runs `work` with this identity and no supplementary groups on the calling thread, then restores the thread's
    /// own. `work` must stay on this thread.
    /// - Throws: `FileError.identityRefused` if the kernel refuses the change; then nothing was done.
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

    /// Traps on failure: a thread with the wrong identity would perform the next request with it.
    private static func demand(_ status: CInt) {
        guard status == 0 else { fatalError("a thread could not be given its identity back") }
    }
}
