import CLinux

#if canImport(Glibc)
    import Glibc
#endif

extension SandboxFolder {
    /// Mount point of the image with the sandbox's users as owners. Only needed until the overlay is mounted.
    var lower: String { path + "/lower" }
    /// The sandbox's /sys, which belongs to its network namespace, so that the sandbox's users could not mount it
    /// themselves.
    var system: String { path + "/sys" }

    /// An empty file, over which the program is mounted for the OCI runtime.
    var execd: String { path + "/execd" }

    /// Mounts the image with other owners.
    /// - Throws: if its file system or the kernel does not support it.
    func mountLower(_ image: String, _ users: SandboxUsers) throws(RuntimeError) {
        guard mkdir(lower, 0o700) == 0 || errno == EEXIST else { throw Self.failure("making \(lower)") }
        let status = linux_mount_idmapped(image, lower, users.descriptor)
        guard status == 0 else {
            throw .system(
                action: "mounting \(image) with other owners", reason: String(cString: strerror(-status)))
        }
    }

    /// Mounts the sandbox's root: the image below, its own layer above.
    func mountFiles(image: String, _ users: IdentifierRange?) throws(RuntimeError) {
        defer { if users != nil { _ = linux_unmount_detached(lower) } }
        guard RootMount.mount(image: image, lower: users == nil ? image : lower, in: self) == 0 else {
            throw Self.failure("mounting the files of \(path)")
        }
    }

    /// Makes the sandbox's root the owner of files or folders.
    func give(_ paths: [String], to users: IdentifierRange?) throws(RuntimeError) {
        guard let users else { return }
        for path in paths where lchown(path, users.first, users.first) != 0 {
            throw Self.failure("giving away \(path)")
        }
    }

    /// Call on a thread in the sandbox's network namespace.
    func mountSystem() -> Bool {
        let quiet = UInt(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
        return (mkdir(system, 0o755) == 0 || errno == EEXIST)
            && linux_mount("sysfs", system, "sysfs", quiet, nil) == 0
    }

    func unmount() {
        for place in [lower, rootfs, system] { _ = linux_unmount_detached(place) }
        disk.unmount()
    }

    private static func failure(_ action: String) -> RuntimeError {
        .system(action: action, reason: String(cString: strerror(errno)))
    }
}
