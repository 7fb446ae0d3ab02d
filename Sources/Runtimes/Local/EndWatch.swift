#if canImport(Glibc)
    import Glibc
#endif

/// Determines how a sandbox ended, from the pipe that its init reports to and from its control group.
///
/// The pipe has a name in the sandbox's folder, so that the next server can read it. Its contents last as long as a
/// server or the init has it open; of an end that no server has seen only the control group is left. Root inside may
/// also write to it, so `EntrypointEnd` treats the contents as foreign text.
struct EndWatch: Sendable {
    let id: String
    let group: ControlGroup
    let memoryLimit: Int64?
    private let pipe: CInt

    /// The descriptor of the pipe in the sandbox's init.
    static let descriptorInside = 0

    /// - Parameter path: of the pipe; made where it is missing.
    init(_ id: String, path: String, group: ControlGroup, memoryLimit: Int64?) {
        self.id = id
        self.group = group
        self.memoryLimit = memoryLimit
        mkfifo(path, 0o600)
        // Open for writing as well, so that the pipe does not reach its end while no init has it open.
        pipe = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW)
    }

    /// The init's end, to be inherited through the OCI runtime; -1 if there is none.
    static func initsEnd(path: String) -> CInt { open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW) }

    /// Whether its init has said already how it ended; execd may accept connections for a moment longer.
    var hasReport: Bool {
        var waiting = pollfd(fd: pipe, events: Int16(POLLIN), revents: 0)
        return pipe >= 0 && poll(&waiting, 1, 0) > 0 && waiting.revents & Int16(POLLIN) != 0
    }

    /// Call once, when the sandbox has ended.
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
