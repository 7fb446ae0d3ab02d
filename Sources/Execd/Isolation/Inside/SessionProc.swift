import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// A session's `/proc`: its own processes, and hidden or closed what the sandbox's `/proc` has hidden or closed.
enum SessionProc {
    static func mount() throws(SessionFailure) {
        let path = "/proc"
        let covers = try MountTable.current().below(path).map { entry in
            // What comes from a /proc itself is closed to writing there; anything else lies over something.
            (entry, entry.type == "proc" ? -1 : linux_mount_copy(AT_FDCWD, entry.path))
        }
        defer { for (_, copy) in covers where copy >= 0 { close(copy) } }
        guard linux_mount("proc", path, "proc", UInt(MS_NOSUID | MS_NODEV | MS_NOEXEC), nil) == 0 else {
            throw SessionFailure("mounting /proc", code: errno, kind: .unsupported)
        }
        for (entry, copy) in covers {
            guard access(entry.path, F_OK) == 0 else { continue }
            try cover(entry, by: copy)
        }
    }

    private static func cover(_ entry: MountTable.Entry, by copy: CInt) throws(SessionFailure) {
        var copy = copy
        var own: CInt = -1
        defer { if own >= 0 { close(own) } }
        if entry.type == "proc" {
            own = linux_mount_copy(AT_FDCWD, entry.path)
            let closed = UInt64(LINUX_MOUNT_READ_ONLY)
            let status = own < 0 ? own : linux_mount_restrict(own, "", entry.isReadOnly ? closed : 0)
            guard status == 0 else { throw SessionFailure("closing \(entry.path)", code: -status) }
            copy = own
        }
        // A session without what hides the kernel's files would be a way around the sandbox's walls.
        let status = copy < 0 ? copy : linux_mount_attach(copy, entry.path)
        guard status == 0 else { throw SessionFailure("hiding \(entry.path)", code: -status) }
    }
}
