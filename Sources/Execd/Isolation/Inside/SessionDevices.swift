import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// A session's `/dev`: the devices that every program expects, terminals of its own, nothing else.
enum SessionDevices {
    private static let names = ["null", "zero", "full", "random", "urandom", "tty"]
    /// So that one session cannot use up what the machine has.
    private static let maxTerminals = 64

    /// Copies of the sandbox's nodes. Nobody may make others.
    static func take() -> [(name: String, copy: CInt)] {
        names.compactMap { name in
            let copy = linux_mount_copy(AT_FDCWD, "/dev/" + name)
            return copy < 0 ? nil : (name, copy)
        }
    }

    static func mount(_ devices: [(name: String, copy: CInt)]) throws(SessionFailure) {
        try mount("tmpfs", "/dev", UInt(MS_NOSUID), "mode=755,size=64k")
        for (name, copy) in devices {
            let file = open("/dev/" + name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
            guard file >= 0 else { throw SessionFailure("making /dev/\(name)", code: errno) }
            close(file)
            let status = linux_mount_attach(copy, "/dev/" + name)
            guard status == 0 else { throw SessionFailure("mounting /dev/\(name)", code: -status) }
        }
        mkdir("/dev/pts", 0o755)
        mkdir("/dev/shm", 0o1777)
        let quiet = UInt(MS_NOSUID | MS_NOEXEC)
        try mount("devpts", "/dev/pts", quiet, "newinstance,ptmxmode=0666,mode=0620,max=\(maxTerminals)")
        try mount("tmpfs", "/dev/shm", quiet | UInt(MS_NODEV), "mode=1777,size=16m")
        let links = [
            ("pts/ptmx", "ptmx"), ("/proc/self/fd", "fd"), ("/proc/self/fd/0", "stdin"), ("/proc/self/fd/1", "stdout"),
            ("/proc/self/fd/2", "stderr"),
        ]
        for (target, name) in links { symlink(target, "/dev/" + name) }
    }

    private static func mount(_ type: String, _ path: String, _ flags: UInt, _ options: String) throws(SessionFailure) {
        guard linux_mount(type, path, type, flags, options) == 0 else {
            throw SessionFailure("mounting \(path)", code: errno, kind: .unsupported)
        }
    }
}
