import System

#if canImport(Glibc)
    import Glibc
#endif

/// Where certificates and keys are read from: the disk, or descriptors handed over by a process that may open files which
/// this one may not.
package protocol FileSource: Sendable {
    /// A descriptor to read the file with from its beginning, for the caller to close; -1 and errno where there is none.
    func open(_ path: String) -> CInt
    /// Differs when the file has changed, or who may read it; nil if there is none.
    func stamp(of path: String) -> ChangeStamp?
}

/// The files of this machine.
package struct DiskFiles: FileSource {
    package init() {}

    package func open(_ path: String) -> CInt { Glibc.open(path, Self.flags) }

    // Who opens a FIFO would wait for its writer otherwise.
    private static let flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY

    package func stamp(of path: String) -> ChangeStamp? { ChangeStamp(path) }
}
