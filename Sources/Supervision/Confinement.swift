import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// The rights that a process keeps. The others are given up for good at its start, before it has a second thread and
/// before it reads anything from others.
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

    /// nil to stay the user that started it. The group gets the same number.
    package var user: UInt32?
    package var capabilities: Set<Capability>

    package init(user: UInt32? = nil, capabilities: Set<Capability>) {
        self.user = user
        self.capabilities = capabilities
    }

    /// - Parameter parent: the process with which this one ends.
    /// - Throws: `SupervisionError`; the process must end then.
    package func apply(parent: pid_t) throws(SupervisionError) {
        let kept = capabilities.reduce(UInt64(0)) { $0 | 1 << UInt64($1.number) }
        let number = user.map(Int64.init) ?? -1
        let code = linux_confine(number, number, kept)
        guard code == 0 else { throw SupervisionError("giving up privileges", code: -code) }
        try Self.end(with: parent)
    }

    /// Makes the process end when its parent ends, for whatever reason.
    ///
    /// Call it last: the kernel clears this setting whenever the user changes.
    package static func end(with parent: pid_t) throws(SupervisionError) {
        guard linux_set_parent_death_signal(SIGKILL) == 0 else { throw .last("asking for the parent's end") }
        // The parent may have ended before the call.
        guard getppid() == parent else { throw SupervisionError("the supervisor has ended", code: ESRCH) }
    }

    /// The files that a process may use (Landlock). It can open no others, whatever their modes, and start no program.
    package struct Reach: Hashable, Sendable {
        /// Files, and folders with everything below them. A path that does not exist is ignored.
        package var readable: [String]
        package var writable: [String]
        /// A descriptor of a further writable folder, whose path this process may not be able to open.
        package var folder: CInt?
        /// Whether it may open listening TCP sockets.
        package var listens: Bool

        package init(readable: [String], writable: [String] = [], folder: CInt? = nil, listens: Bool = false) {
            (self.readable, self.writable, self.folder, self.listens) = (readable, writable, folder, listens)
        }
    }

    /// Closes all other files to this process. Call it while the process has one thread, after `apply`.
    /// - Returns: false where the kernel has no Landlock.
    package static func limit(to reach: Reach) throws(SupervisionError) -> Bool {
        let code = withCStrings(reach.readable) { readable in
            withCStrings(reach.writable) { linux_reach_only(readable, $0, reach.folder ?? -1, reach.listens ? 1 : 0) }
        }
        if code == -ENOSYS || code == -EOPNOTSUPP { return false }
        guard code == 0 else { throw SupervisionError("closing files", code: -code) }
        return true
    }

    /// Filters this process's system calls: it can start no program, and enter only network namespaces. For the guard.
    /// - Returns: false where the kernel has no system call filters.
    package static func guardOnly() throws(SupervisionError) -> Bool { try filtered(linux_allow_guarding_only()) }

    /// Filters this process's system calls: it can open no file, start no program and make no memory executable. For the
    /// gateway.
    /// - Parameter readsFiles: whether it may still open files for reading, as far as its user may.
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

/// Calls `body` with the texts as a null-terminated array of C strings.
private func withCStrings<Value>(_ texts: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Value) -> Value {
    let copies = texts.map { strdup($0) }
    defer { for copy in copies { free(copy) } }
    let pointers = copies.map { UnsafePointer<CChar>($0) } + [nil]
    return pointers.withUnsafeBufferPointer { body($0.baseAddress!) }
}
