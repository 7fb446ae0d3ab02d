import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Tests user namespaces by running a container as sandboxes are run, because kernels, file systems, surrounding
/// containers and OCI runtimes may each refuse them, and only trying tells.
enum UserNamespaceTrial {
    /// - Throws: the first error.
    static func run(
        _ namespaces: UserNamespaces, _ runtime: OCIRuntime, _ configuration: LocalConfiguration
    ) throws(RuntimeError) {
        let name = "trial-" + String(UInt64.random(in: .min ... .max), radix: 36)
        let folder = SandboxFolder(path: configuration.stateDirectory + "/." + name)
        defer {
            folder.unmount()
            _ = folder.group.remove()
            try? TreeRemoval.remove(folder.path)
        }
        try folder.create()
        guard let users = try namespaces.make(for: folder, near: UInt32.random(in: 0 ... .max)) else { return }
        defer { namespaces.end(users.range, in: folder) }
        let image = folder.file("image")
        mkdir(image, 0o755)
        guard mkdir(folder.disk.path, 0o755) == 0 else { throw folder.disk.failure("making") }
        try folder.createLayer(users.range)
        let spec = EngineSpec(id: name, imageRoot: image, entrypoint: [])
        try folder.mountLower(spec, users)
        try folder.mountFiles(spec, users.range)
        guard folder.mountSystem() else {
            throw .system(action: "mounting a /sys", reason: String(cString: strerror(errno)))
        }
        // Without a program execd prints its usage and ends.
        let record = SandboxRecord(
            spec: spec,
            link: SandboxLink(
                name: name, host: 0, tag: configuration.tag, folder: configuration.namespaceDirectory),
            users: users.range
        )
        try folder.writeBundle(of: record, configuration, users)
        try start(name, folder, runtime, configuration.execdPath)
    }

    private static func start(
        _ name: String, _ folder: SandboxFolder, _ runtime: OCIRuntime, _ execd: String
    ) throws(RuntimeError) {
        let log = try folder.output.open()
        defer { close(log) }
        do throws(RuntimeError) {
            let view = RuntimeView(folder, execd: execd, networkNamespace: nil)
            try runtime.run(name, view, detached: false, log: log)
        } catch {
            guard folder.logTail().contains("usage: execd") else {
                throw .startFailed(id: name, reason: "\(error): \(folder.logTail())")
            }
        }
        try runtime.delete(name)
    }
}
