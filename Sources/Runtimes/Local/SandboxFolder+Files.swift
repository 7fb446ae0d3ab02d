import CLinux

#if canImport(Glibc)
    import Glibc
#endif

extension SandboxFolder {
    /// Mount point of the image with the sandbox's users as owners, and the beginning of those of layers. Only needed until the
    /// overlay is mounted.
    private var lower: String { path + "/lower" }
    /// The sandbox's /sys, which belongs to its network namespace, so that the sandbox's users could not mount it
    /// themselves.
    var system: String { path + "/sys" }

    /// An empty file, over which the program is mounted for the OCI runtime.
    var execd: String { path + "/execd" }

    /// Mounts the image, and the layers above it, with other owners.
    /// - Throws: if a file system of theirs or the kernel does not support it; nothing stays mounted.
    func mountLower(_ spec: EngineSpec, _ users: SandboxUsers) throws(RuntimeError) {
        do throws(RuntimeError) {
            for (place, source) in zip(lowerPlaces(spec), spec.lower) {
                guard mkdir(place, 0o700) == 0 || errno == EEXIST else { throw Self.failure("making \(place)") }
                let status = linux_mount_idmapped(source, place, users.descriptor)
                guard status == 0 else {
                    throw .system(
                        action: "mounting \(source) with other owners", reason: String(cString: strerror(-status)))
                }
            }
        } catch {
            unmountLower()
            throw error
        }
    }

    /// What a sandbox stands on, the topmost first: with the owners that it should see.
    func lower(_ spec: EngineSpec, _ users: IdentifierRange?) -> [String] {
        users == nil ? spec.lower : lowerPlaces(spec)
    }

    private func lowerPlaces(_ spec: EngineSpec) -> [String] {
        (spec.layers ?? []).indices.map { "\(lower)-\($0)" } + [lower]
    }

    private func unmountLower() {
        for place in [lower] + (0..<LayerStore.maxLayers).map({ "\(lower)-\($0)" }) {
            _ = linux_unmount_detached(place)
        }
    }

    /// Mounts the sandbox's root: the image below, then the layers of its snapshot, its own layer above.
    func mountFiles(_ spec: EngineSpec, _ users: IdentifierRange?) throws(RuntimeError) {
        defer { if users != nil { unmountLower() } }
        guard RootMount.mount(image: spec.imageRoot, lower: lower(spec, users), in: self) == 0 else {
            throw Self.failure("mounting the files of \(path)")
        }
    }

    /// Makes the sandbox's root the owner of files or folders.
    func give(_ paths: [String], to users: IdentifierRange?) throws(RuntimeError) {
        guard let users else { return }
        for path in paths where lchown(path, users.first, users.first) != 0 {
            throw Self.failure("giving away \(path)")
        }
    }

    /// Call on a thread in the sandbox's network namespace.
    func mountSystem() -> Bool {
        let quiet = UInt(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
        return (mkdir(system, 0o755) == 0 || errno == EEXIST)
            && linux_mount("sysfs", system, "sysfs", quiet, nil) == 0
    }

    func unmount() {
        unmountLower()
        for place in [rootfs, system] { _ = linux_unmount_detached(place) }
        disk.unmount()
    }

    static func failure(_ action: String) -> RuntimeError {
        .system(action: action, reason: String(cString: strerror(errno)))
    }
}
