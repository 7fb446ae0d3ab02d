import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Removes the name of a namespace whose path is covered, because something else is mounted over it or over a folder
/// above.
///
/// A covered mount cannot be unmounted. But unlink(2) detaches all mounts on a file in all mount namespaces, as long as
/// there is none on it in the caller's (Linux 3.18). So the caller makes its own mount namespace and uncovers the file
/// there.
enum BuriedName {
    /// Whether there is a mount at the path, visible or covered.
    static func isMounted(_ path: String) -> Bool { mountPoints().contains(path) }

    /// Removes the name, whatever covers it. Call it on a thread of its own, which cannot return to its former mount
    /// namespace.
    static func remove(_ path: String) throws(NetfilterError) {
        guard linux_unshare(LINUX_NEWNS) == 0,
            linux_mount("none", "/", nil, UInt(MS_REC) | UInt(MS_PRIVATE), nil) == 0
        else { throw .last("looking beneath the mounts on \(path)") }
        var code = ENOENT
        repeat {
            // The same file may be visible in several places, through bind mounts of its folder.
            let name = path.splitAtLastSlash.name
            for place in mountPoints() where place.hasSuffix("/" + name) { while linux_unmount_detached(place) == 0 {} }
            if unlink(path) == 0 { return }
            if errno != ENOENT { code = errno }
        } while uncover(path)
        guard code == ENOENT else { throw .refused(action: "removing \(path)", code: code, explanation: nil) }
    }

    /// Unmounts the nearest mount above `path`.
    private static func uncover(_ path: String) -> Bool {
        var above = path.splitAtLastSlash.folder
        while !above.isEmpty {
            if linux_unmount_detached(above) == 0 { return true }
            above = above.splitAtLastSlash.folder
        }
        return false
    }

    /// All mount points of this thread's mount namespace (proc_pid_mountinfo(5)).
    private static func mountPoints() -> [String] {
        let bytes = (try? File.read("/proc/thread-self/mountinfo")) ?? []
        return bytes.split(separator: UInt8(ascii: "\n")).compactMap { line in
            let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 5)
            return fields.count > 4 ? String(decoding: fields[4], as: UTF8.self) : nil
        }
    }
}

extension String {
    /// The folder of a path, without the slash, and the name in it.
    package var splitAtLastSlash: (folder: String, name: String) {
        guard let slash = lastIndex(of: "/") else { return ("", self) }
        return (String(self[..<slash]), String(self[index(after: slash)...]))
    }
}
