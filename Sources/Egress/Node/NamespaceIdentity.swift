import Glibc

/// Identifies the namespace behind a path, because a path may lead to another one after a sandbox was recreated.
struct NamespaceIdentity: Hashable, Sendable {
    let device: UInt64
    let inode: UInt64

    /// A path whose mount is gone is an ordinary file, on another device than namespaces.
    init(path: String) throws(EgressError) {
        let (own, status) = (try Self.status(of: "/proc/self/ns/net"), try Self.status(of: path))
        guard status.st_dev == own.st_dev else { throw .kernel("\(path) is not a namespace") }
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
    }

    private static func status(of path: String) throws(EgressError) -> stat {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw .kernel("the namespace \(path) cannot be opened: \(String(cString: strerror(errno)))")
        }
        return status
    }
}
