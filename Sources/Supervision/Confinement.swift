import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// What a process may still do, from its first steps on. Given up for good, before the process has a second thread and before it
/// has read anything of others.
package struct Confinement: Hashable, Sendable {
    /// Numbers of capabilities(7).
    package struct Capability: Hashable, Sendable {
        package let number: Int
        /// Rules, addresses, routes, marks, the list of sockets.
        package static let netAdmin = Capability(number: 12)
        /// Port 53 in a sandbox's namespace.
        package static let netBindService = Capability(number: 10)
        /// Entering the namespaces of sandboxes (setns(2)).
        package static let sysAdmin = Capability(number: 21)
    }

    /// nil: that of who starts it. The group has the same number.
    package var user: UInt32?
    package var capabilities: Set<Capability>

    package init(user: UInt32? = nil, capabilities: Set<Capability>) {
        self.user = user
        self.capabilities = capabilities
    }

    /// - Parameter parent: the process without which this one is to end.
    /// - Throws: `SupervisionError`; the process has to end then.
    package func apply(parent: pid_t) throws(SupervisionError) {
        let kept = capabilities.reduce(UInt64(0)) { $0 | 1 << UInt64($1.number) }
        let number = user.map(Int64.init) ?? -1
        let code = linux_confine(number, number, kept)
        guard code == 0 else { throw SupervisionError("giving up privileges", code: -code) }
        try Self.end(with: parent)
    }

    /// The process ends when its parent does, however that ends.
    ///
    /// The kernel forgets it with every change of the user, so it comes last.
    package static func end(with parent: pid_t) throws(SupervisionError) {
        guard linux_set_parent_death_signal(SIGKILL) == 0 else { throw .last("asking for the parent's end") }
        // It may have ended before.
        guard getppid() == parent else { throw SupervisionError("the supervisor has ended", code: ESRCH) }
    }

    /// Files that a process may reach, whatever their modes say; all that is not named is closed to it, and no program is run.
    package struct Reach: Hashable, Sendable {
        /// Files, and folders with all that is in them. One that does not exist is passed over.
        package var readable: [String]
        package var writable: [String]
        /// A folder that is writable, too, of which this process may not know the path.
        package var folder: CInt?
        /// Whether it may make sockets that listen for TCP.
        package var listens: Bool

        package init(readable: [String], writable: [String] = [], folder: CInt? = nil, listens: Bool = false) {
            (self.readable, self.writable, self.folder, self.listens) = (readable, writable, folder, listens)
        }
    }

    /// From now on this process reaches nothing else. While it has one thread, and after `apply`.
    /// - Returns: false where the kernel has no Landlock.
    package static func limit(to reach: Reach) throws(SupervisionError) -> Bool {
        let code = withCStrings(reach.readable) { readable in
            withCStrings(reach.writable) { linux_reach_only(readable, $0, reach.folder ?? -1, reach.listens ? 1 : 0) }
        }
        if code == -ENOSYS || code == -EOPNOTSUPP { return false }
        guard code == 0 else { throw SupervisionError("closing files", code: -code) }
        return true
    }

    /// From now on this process starts no program and enters nothing but networks: it guards.
    /// - Returns: false where the kernel has no system call filters.
    package static func guardOnly() throws(SupervisionError) -> Bool { try filtered(linux_allow_guarding_only()) }

    /// From now on this process opens nothing, starts nothing and makes no code: it relays.
    /// - Parameter readsFiles: it still opens files to read, as far as its user may.
    /// - Returns: false where the kernel has no system call filters.
    package static func relayOnly(readsFiles: Bool) throws(SupervisionError) -> Bool {
        // The C library reads the time zone's file when it is first asked for the local time.
        tzset()
        return try filtered(linux_allow_relaying_only(readsFiles ? 1 : 0))
    }

    private static func filtered(_ code: CInt) throws(SupervisionError) -> Bool {
        if code == -ENOSYS || code == -EINVAL { return false }
        guard code == 0 else { throw SupervisionError("filtering system calls", code: -code) }
        return true
    }
}

/// A list of texts as C has it, ended by a null pointer.
private func withCStrings<Value>(_ texts: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Value) -> Value {
    let copies = texts.map { strdup($0) }
    defer { for copy in copies { free(copy) } }
    let pointers = copies.map { UnsafePointer<CChar>($0) } + [nil]
    return pointers.withUnsafeBufferPointer { body($0.baseAddress!) }
}
