import CLinux
import Logging
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The disk settings of sandboxes.
package struct DiskConfiguration: Hashable, Sendable {
    /// What holds a sandbox to its limit.
    package enum Enforcement: String, Hashable, Sendable, CaseIterable {
        /// Project quotas where the file system has them, else images.
        case automatic = "auto"
        case quota
        /// A sparse file for each sandbox that contains a file system.
        case image
        /// Not at all: a sandbox can fill the disk.
        case off
    }
    package var enforcement = Enforcement.automatic
    /// The limit in bytes of a sandbox that does not give one.
    package var limit: Int64 = 10 << 30
    /// Bytes to keep free on the server's disk; below that no sandbox is made.
    package var reserve: Int64 = 1 << 30
    /// How many bytes of an entrypoint's output are kept.
    package var log: Int64 = 16 << 20

    package init() {}
}

/// Provides the disk for a sandbox's own files, with a limit.
package struct DiskLimits: Sendable {
    private enum Mechanism: Sendable {
        case quota(ProjectQuota)
        case image(DiskTemplates)
        case none
    }
    private let mechanism: Mechanism

    /// Tries the mechanisms in the sandboxes' folder and uses the first that works.
    /// - Parameter keepsProjects: whether sandboxes have user namespaces, without which they could leave their projects.
    /// - Throws: if the configured one does not work.
    package init(
        _ configuration: DiskConfiguration, folder: String, keepsProjects: Bool = true, logger: Logger
    ) throws(RuntimeError) {
        if [.automatic, .quota].contains(configuration.enforcement) {
            if keepsProjects, let quota = ProjectQuota.probe(folder) {
                mechanism = .quota(quota)
                return
            }
            guard configuration.enforcement == .automatic else {
                throw .missingKernelFeature(
                    "project quotas on \(folder), whose file system must be mounted with prjquota, and user namespaces")
            }
        }
        guard configuration.enforcement != .off else {
            mechanism = .none
            return
        }
        do throws(RuntimeError) {
            let templates = try DiskTemplates(folder: folder)
            try Self.probe(templates, folder, bytes: configuration.limit)
            mechanism = .image(templates)
        } catch {
            guard configuration.enforcement == .automatic else { throw error }
            logger.warning(
                "disk limits are not enforced: a sandbox can fill the server's disk",
                metadata: ["error": "\(error)"])
            mechanism = .none
        }
    }

    package var isEnforced: Bool { if case .none = mechanism { false } else { true } }

    /// For the server's log.
    var name: String {
        switch mechanism {
        case .quota: "project quotas"
        case .image: "images"
        case .none: "none"
        }
    }

    /// Creates `disk.path` in a sandbox's folder, with a limit in bytes.
    func make(_ disk: SandboxDisk, bytes: Int64, keepsProjects: Bool = true) throws(RuntimeError) {
        guard mkdir(disk.path, 0o755) == 0 else { throw disk.failure("making") }
        switch mechanism {
        case .none: break
        case .quota(let quota):
            guard keepsProjects else { throw .unenforcedLimit("disk") }
            try quota.limit(disk.path, bytes: bytes)
        case .image(let templates):
            try templates.template(of: bytes).write(to: disk.image)
            try disk.mount(readOnly: false)
        }
    }

    /// Creates `disk.path` in a named volume's folder.
    /// - Returns: the limit that holds; nil for none.
    func make(_ disk: VolumeDisk, bytes: Int64) throws(RuntimeError) -> Int64? {
        guard mkdir(disk.path, 0o755) == 0 else {
            throw .system(action: "making \(disk.path)", reason: String(cString: strerror(errno)))
        }
        switch mechanism {
        case .none: return nil
        case .quota(let quota): try quota.limit(disk.path, bytes: bytes)
        case .image(let templates):
            try disk.format(bytes: bytes, templates.program)
            try disk.mount()
        }
        return bytes
    }

    private static func probe(
        _ templates: DiskTemplates, _ folder: String, bytes: Int64
    ) throws(RuntimeError) {
        let name = folder + "/.probe-" + String(UInt64.random(in: .min ... .max), radix: 36)
        let disk = SandboxDisk(folder: name)
        guard mkdir(name, 0o700) == 0, mkdir(disk.path, 0o755) == 0 else { throw disk.failure("making") }
        defer {
            disk.unmount()
            try? TreeRemoval.remove(name)
        }
        try templates.template(of: bytes).write(to: disk.image)
        try disk.mount(readOnly: false)
    }
}

/// The disk of a sandbox's own files: its layer of the file system and its output.
struct SandboxDisk: Hashable, Sendable {
    /// The sandbox's folder.
    let folder: String

    var path: String { folder + "/disk" }
    var image: String { folder + "/disk.img" }

    /// `fsync` inside does not wait for the machine's disk, and space freed inside is returned to it.
    private static let options = "discard,noinit_itable,barrier=0,errors=remount-ro"

    func mount(readOnly: Bool) throws(RuntimeError) {
        let code = linux_mount_image(image, path, readOnly ? 1 : 0, readOnly ? "" : Self.options)
        guard code == 0 else {
            throw .system(action: "mounting \(image)", reason: String(cString: strerror(-code)))
        }
    }

    /// Mounts it again after a restart of the machine, so that the sandbox's output stays readable.
    func remount() throws(RuntimeError) {
        guard access(image, F_OK) == 0, linux_is_mount_point(path) == 0 else { return }
        try mount(readOnly: true)
    }

    /// Unmounts it without writing anything back. Does nothing if it is not mounted.
    func unmount() {
        guard linux_is_mount_point(path) == 1 else { return }
        if access(image, F_OK) == 0 { _ = linux_shut_down_filesystem(path) }
        _ = linux_unmount_detached(path)
    }

    func failure(_ action: String) -> RuntimeError {
        .system(action: "\(action) \(path)", reason: String(cString: strerror(errno)))
    }
}
