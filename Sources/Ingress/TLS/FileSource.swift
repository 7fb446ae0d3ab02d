#if canImport(Glibc)
    import Glibc
#endif

/// Where certificates and keys are read: the disk, or descriptors that somebody hands over who may open what this process
/// may not.
public protocol FileSource: Sendable {
    /// A descriptor to read the file with from its beginning, for the caller to close; -1 and errno where there is none.
    func open(_ path: String) -> CInt
    /// What changes when the file does, or who may read it.
    func stamp(of path: String) -> [Int]
}

extension FileSource {
    static func stamp(_ status: stat) -> [Int] {
        [
            Int(status.st_ino), Int(status.st_size), status.st_mtim.tv_sec, status.st_mtim.tv_nsec,
            status.st_ctim.tv_sec, status.st_ctim.tv_nsec,
        ]
    }
}

/// The files of this machine.
public struct DiskFiles: FileSource {
    public init() {}

    public func open(_ path: String) -> CInt { Glibc.open(path, O_RDONLY | O_CLOEXEC) }

    public func stamp(of path: String) -> [Int] {
        var status = stat()
        return stat(path, &status) == 0 ? Self.stamp(status) : [0]
    }

    /// The same for a file that is open.
    public static func stamp(of descriptor: CInt) -> [Int] {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? stamp(status) : [0]
    }
}
