import CLinux
import Logging

#if canImport(Glibc)
    import Glibc
#endif

/// How much of the machine's disk sandboxes get.
public struct DiskConfiguration: Hashable, Sendable {
    /// What holds a sandbox to its limit.
    public enum Enforcement: String, Hashable, Sendable, CaseIterable {
        /// Project quotas where the file system has them, else images.
        case automatic = "auto"
        case quota
        /// A file with holes for each sandbox, with a file system in it.
        case image
        /// Nothing does: a sandbox can fill the disk.
        case off
    }
    public var enforcement = Enforcement.automatic
    /// Bytes of a sandbox that names no limit.
    public var limit: Int64 = 10 << 30
    /// Bytes that are to stay free on the server's own disk: below that, no sandbox is made.
    public var reserve: Int64 = 1 << 30
    /// Bytes of an entrypoint's output that are kept.
    public var log: Int64 = 16 << 20

    public init() {}
}

/// Makes the place for a sandbox's own files, and holds it to a limit.
struct DiskLimits: Sendable {
    private enum Mechanism: Sendable {
        case quota(ProjectQuota)
        case image(DiskTemplates)
        case none
    }
    private let mechanism: Mechanism

    /// Tries on the folder of the sandboxes what there is, and takes the first that holds.
    /// - Parameter keepsProjects: whether sandboxes have user namespaces, without which they could leave their projects.
    /// - Throws: where the one that is asked for does not.
    init(
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
                metadata: ["reason": "\(error)"])
            mechanism = .none
        }
    }

    var isEnforced: Bool { if case .none = mechanism { false } else { true } }

    /// For the log of the server.
    var name: String {
        switch mechanism {
        case .quota: "project quotas"
        case .image: "images"
        case .none: "none"
        }
    }

    /// Makes `disk.path` in a sandbox's folder, with room for so many bytes.
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

/// The place of a sandbox's own files: its layer of the file system and its output.
struct SandboxDisk: Hashable, Sendable {
    /// Of the sandbox.
    let folder: String

    var path: String { folder + "/disk" }
    var image: String { folder + "/disk.img" }

    /// No `fsync` inside waits for the disk of the machine, and what is deleted inside is given back to it.
    private static let options = "discard,noinit_itable,barrier=0,errors=remount-ro"

    func mount(readOnly: Bool) throws(RuntimeError) {
        let code = linux_mount_image(image, path, readOnly ? 1 : 0, readOnly ? "" : Self.options)
        guard code == 0 else {
            throw .system(action: "mounting \(image)", reason: String(cString: strerror(-code)))
        }
    }

    /// Mounts it again where the mount has gone with the machine's last run: what the sandbox printed stays readable.
    func remount() throws(RuntimeError) {
        guard access(image, F_OK) == 0, linux_is_mount_point(path) == 0 else { return }
        try mount(readOnly: true)
    }

    /// Ends it; nothing of it is written any more. Nothing to do where it is not mounted.
    func unmount() {
        guard linux_is_mount_point(path) == 1 else { return }
        if access(image, F_OK) == 0 { _ = linux_shut_down_filesystem(path) }
        _ = linux_unmount_detached(path)
    }

    func failure(_ action: String) -> RuntimeError {
        .system(action: "\(action) \(path)", reason: String(cString: strerror(errno)))
    }
}
