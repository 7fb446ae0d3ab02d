import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// Mounts a sandbox's root: its own layer over the image.
enum RootMount {
    /// The kernel opens no device nodes there, wherever they come from (MS_NODEV), and ignores set-id bits and file
    /// capabilities (MS_NOSUID).
    ///
    /// crun mounts a container's root again without these flags, unless a user namespace of the container locks them.
    /// Without one, only the device list and no_new_privs remain.
    ///
    /// `nosuid` costs images nothing, since no_new_privs makes set-id programs ordinary ones anyway. It even makes more
    /// programs run: without it execve fails with EPERM for files with a capability that no sandbox has (`ping` in many
    /// images).
    static let flags = UInt(MS_NODEV | MS_NOSUID)

    /// Foreign layers may contain overlayfs's own extended attributes, which must not lead to other files. `ImageTree`
    /// removes them from fetched images, but registered folders are used as they are.
    static func options(lower: String, upper: String, work: String) -> String {
        "upperdir=\(upper),workdir=\(work),\(options(lower: lower))"
    }

    /// To read only.
    static func options(lower: String) -> String { "lowerdir=\(lower),redirect_dir=nofollow,metacopy=off" }

    /// - Parameters:
    ///   - image: the source of the mount, so that the kernel's list of mounts shows which image is in use.
    ///   - lower: folders that are mounted with other owners, or as they are, the topmost first: layers of a snapshot, then
    ///     the image.
    /// - Returns: 0, or -1 and errno.
    static func mount(image: String, lower: [String], in folder: SandboxFolder) -> CInt {
        linux_mount(
            image, folder.rootfs, "overlay", flags,
            options(lower: lower.joined(separator: ":"), upper: folder.upper, work: folder.work))
    }
}
