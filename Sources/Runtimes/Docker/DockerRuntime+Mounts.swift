import CLinux
import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// That a container's first process is execd, as this server has given it, whatever its image and volumes do.
extension DockerRuntime {
    /// The mounts that are not the runtime's.
    func foreignMounts(_ image: EngineImage, _ asked: [ContainerBody.Mount]) throws(RuntimeError) -> ForeignMounts {
        // source:target[:mode], of which the configuration lets no path have a colon.
        let binds = configuration.binds.compactMap { bind in
            bind.split(separator: ":").dropFirst().first.map(String.init)
        }
        return try ForeignMounts(image: image.volumePaths, asked: asked.map(\.target) + binds)
    }

    /// Looks at a container that has been made and does not run yet.
    func check(_ mounts: ForeignMounts, of id: String) async throws(RuntimeError) {
        let paths = ContainerPaths(engine: engine, container: DockerNames.container(id))
        try await mounts.check(mayNest: looksAtPrograms(mounts)) { path throws(RuntimeError) in
            do throws(EngineFailure) { return try await paths.real(path) } catch {
                throw RuntimeError(error, "looking at the mounts of \(id)")
            }
        }
    }

    /// Whether `checkProgram` is asked before the container has a way out: the first process is the program itself rather than
    /// another kernel, and the network comes later. The engine's does for mounts that nest alone (`isJoinedLater`).
    func looksAtPrograms(_ mounts: ForeignMounts) -> Bool {
        guard configuration.confinement.runtime == nil else { return false }
        return if case .machine = network { !mounts.all.isEmpty } else { mounts.nesting != nil }
    }

    /// Whether a container on the engine's network is made without one.
    func isJoinedLater(_ mounts: ForeignMounts) -> Bool {
        if case .engine = network { looksAtPrograms(mounts) } else { false }
    }

    /// Looks at the first process of such a one, and has it join the engine's network.
    /// - Throws: as if the mounts had been refused at once, where the engine's processes are not this machine's to see.
    func join(_ made: HeldContainer, _ sidecars: DockerSidecars) async throws(RuntimeError) -> ContainerFacts {
        guard let refusal = made.mounts.nesting, isJoinedLater(made.mounts) else { return made.found }
        let process: ContainerProcess
        do throws(RuntimeError) {
            process = try ContainerProcess(made.found.state.process, of: made.found.id)
            try process.check()
        } catch { throw refusal }
        try await checkProgram(made.found, process)
        return try await sidecars.join(made.found)
    }

    /// Two seconds in all.
    private static let looks = 1000
    private static let lookMicroseconds: UInt32 = 2000

    /// Looks at a process of this machine that has no network yet: a volume that others write to may have changed since.
    func checkProgram(_ found: ContainerFacts, _ process: ContainerProcess) async throws(RuntimeError) {
        let sources = [DockerNames.folder, DockerNames.programFolder].map { target in
            found.mounts?.first { $0.target == target }?.source
        }
        let number = process.number
        let isOurs = await threads.run { () -> Bool in
            guard let folder = sources[0], let program = sources[1],
                let root = try? FileDescriptor(opening: "/proc/\(number)/root", LINUX_O_PATH | O_DIRECTORY)
            else { return false }
            func inside(_ path: String) -> FileIdentity? {
                let found = linux_open_inside(root.number, String(path.dropFirst()), LINUX_O_PATH)
                guard found >= 0 else { return nil }
                defer { close(found) }
                return FileIdentity(found)
            }
            guard let execd = FileIdentity(program + "/execd") else { return false }
            // The engine answers a moment before its runtime has become the program.
            var looks = 0
            while FileIdentity("/proc/\(number)/exe") != execd, looks < Self.looks, !process.hasEnded {
                usleep(Self.lookMicroseconds)
                looks += 1
            }
            guard FileIdentity("/proc/\(number)/exe") == execd, let own = FileIdentity(folder),
                inside(DockerNames.folder) == own, inside(DockerNames.execd) == execd
            else { return false }
            return true
        }
        guard isOurs, !process.hasEnded else {
            throw .startFailed(
                id: found.id, reason: "its first process is not this server's execd: a mount or a link leads elsewhere",
                isCallersFault: true)
        }
    }
}

/// Which file something is, whatever its name.
private struct FileIdentity: Hashable {
    let device: UInt64
    let number: UInt64

    /// Follows links, those of /proc too.
    init?(_ path: String) {
        var found = stat()
        guard stat(path, &found) == 0 else { return nil }
        (device, number) = (UInt64(found.st_dev), UInt64(found.st_ino))
    }

    init?(_ descriptor: CInt) {
        var found = stat()
        guard fstat(descriptor, &found) == 0 else { return nil }
        (device, number) = (UInt64(found.st_dev), UInt64(found.st_ino))
    }
}
