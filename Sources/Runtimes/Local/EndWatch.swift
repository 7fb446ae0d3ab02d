#if canImport(Glibc)
    import Glibc
#endif

/// What will tell how a sandbox ended: the pipe that its init reports to, and its control group.
///
/// The pipe has a name in the sandbox's folder, so that another server can go on listening. It holds what was written while some
/// server or the init lives; of an end that no server has seen only the control group is left. Whoever is root inside may
/// write there, too: a pipe's worth of bytes, which `EntrypointEnd` reads like any other foreign text.
struct EndWatch: Sendable {
    let id: String
    let group: ControlGroup
    let memoryLimit: Int64?
    private let pipe: CInt

    /// The number that the sandbox's init has its end of the pipe under.
    static let descriptorInside = 0

    /// - Parameter path: of the pipe; made where it is missing.
    init(_ id: String, path: String, group: ControlGroup, memoryLimit: Int64?) {
        self.id = id
        self.group = group
        self.memoryLimit = memoryLimit
        mkfifo(path, 0o600)
        // With an end for writing of our own: the pipe stays as it is while no init has one.
        pipe = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW)
    }

    /// The init's end, for the OCI runtime to pass on; -1 where there is none.
    static func initsEnd(path: String) -> CInt { open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW) }

    /// To be asked once, when the sandbox has ended.
    func end() -> SandboxEnd {
        var report = [UInt8](repeating: 0, count: 1 << 16)
        let count = pipe < 0 ? 0 : max(0, read(pipe, &report, report.count))
        close()
        return SandboxEnd(
            id: id, entrypoint: EntrypointEnd(report: Array(report.prefix(count))), memoryKills: group.memoryKills,
            memoryLimit: memoryLimit)
    }

    func close() { if pipe >= 0 { Glibc.close(pipe) } }
}
