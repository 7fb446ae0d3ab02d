import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// How a sandbox's files are mounted: what it writes over its image.
enum RootMount {
    /// The kernel opens no device node there, however it came about (MS_NODEV), and gives no right for a file's set-id bits
    /// or capabilities (MS_NOSUID).
    ///
    /// crun mounts a container's root once more, without these, unless a user namespace of the container's keeps them: then
    /// the device list and no_new_privs stand alone.
    ///
    /// `nosuid` takes nothing from images: no_new_privs, which every process of a sandbox has, makes set-id programs
    /// ordinary ones anyway. It makes more of them run: execve fails with EPERM for a file that asks for a capability which
    /// no sandbox has (`ping` in many images), unless its mount is `nosuid`.
    static let flags = UInt(MS_NODEV | MS_NOSUID)

    /// Layers that come from others may hold overlayfs's own extended attributes: none of them may lead to another file.
    /// `ImageTree` takes them out of what is fetched; folders that are registered are as they are.
    static func options(lower: String, upper: String, work: String) -> String {
        "lowerdir=\(lower),upperdir=\(upper),workdir=\(work),redirect_dir=nofollow,metacopy=off"
    }

    /// - Parameters:
    ///   - image: names the mount: the kernel's list of mounts says which image is in use.
    ///   - lower: where the image is mounted with other owners, or the image itself.
    /// - Returns: 0, or -1 and errno.
    static func mount(image: String, lower: String, in folder: SandboxFolder) -> CInt {
        linux_mount(
            image, folder.rootfs, "overlay", flags, options(lower: lower, upper: folder.upper, work: folder.work))
    }
}
