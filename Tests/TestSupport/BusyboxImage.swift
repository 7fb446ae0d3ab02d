import FoundationEssentials

#if canImport(Glibc)
    import Glibc
#endif

/// The files of an image with one static shell, and the execd that `make execd` builds.
public enum BusyboxImage {
    public static func create(at root: String) throws {
        for path in ["bin", "tmp", "etc", "root", "opt/opensandbox", "proc", "sys", "dev", "run"] {
            try FileManager.default.createDirectory(atPath: root + "/" + path, withIntermediateDirectories: true)
        }
        try FileManager.default.copyItem(atPath: "/bin/busybox", toPath: root + "/bin/busybox")
        for name in [
            "sh", "sleep", "cat", "echo", "nc", "id", "grep", "ls", "mount", "unshare", "touch", "kill", "nslookup",
        ] {
            try FileManager.default.createSymbolicLink(
                atPath: root + "/bin/" + name, withDestinationPath: "busybox")
        }
    }

    /// The static execd of this checkout; nil when it has not been built.
    public static var execd: String? {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let path = "/\(root)/.build/release/execd"
        return access(path, X_OK) == 0 ? path : nil
    }
}
