import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Builds what a session sees, in namespaces of its own: the sandbox's files without the right to write, its own `/tmp`, `/run`,
/// `/dev` and `/proc`, and the folders that were asked for.
///
/// Everything that comes from the sandbox is opened before anything is mounted, and is judged by where it really is: what
/// another session, which may write there, puts in its place meanwhile changes nothing.
struct SessionMounts {
    let plan: SessionPlan
    /// The folder of all sessions' changes.
    let folder: String

    init(_ plan: SessionPlan, folder: String) { (self.plan, self.folder) = (plan, folder) }

    /// What no session sees: the changes of others, and execd's own files, its token among them.
    private var hidden: [String] { [folder, "/opt/opensandbox"] }
    /// What a session has of its own.
    private static let own = ["/proc", "/sys", "/dev", "/run"]

    private static let quiet = UInt(MS_NOSUID | MS_NODEV)

    func build() throws(SessionFailure) {
        try separate()
        let taken = try take()
        try check("closing the sandbox's files", linux_mount_restrict(AT_FDCWD, "/", restricted(true)))
        try makeTemporaryFolder(taken.temporary)
        try SessionDevices.mount(taken.devices)
        try SessionProc.mount()
        // In the place of all sessions' changes those of this one, until they are hidden with the rest.
        try check("mounting the session's folder", linux_mount_attach(taken.changes, folder))
        let layers = try layers(above: taken.folders)
        try hide()
        for (number, mount) in plan.mounts.enumerated() {
            // In a /tmp of the session's own it has to be made.
            if !FileStatus.isFolder(mount.path) { _ = try? FolderChanges.createWithoutLinks(mount.path) }
            let target = try target(mount.path)
            defer { close(target) }
            if let layer = layers[number] {
                try layer.mount(on: target, mount.path)
            } else {
                try check("mounting \(mount.path)", linux_mount_attach_on(taken.folders[number], target))
            }
        }
        for (binding, copy) in zip(plan.bindings, taken.bindings) {
            let target = try target(binding.target)
            defer { close(target) }
            try check("mounting \(binding.target)", linux_mount_attach_on(copy, target), .refused)
        }
        layers.values.forEach { $0.close() }
        taken.close()
    }

    /// Where something is to be mounted. Another session may write to what is above it, and put a link there: its files would lie over
    /// others than those that were asked for.
    private func target(_ path: String) throws(SessionFailure) -> CInt {
        let target = linux_open_without_links(path, LINUX_O_PATH)
        try check("finding \(path)", target, .refused)
        return target
    }

    private func layers(above folders: [CInt]) throws(SessionFailure) -> [Int: SessionLayer] {
        let inMemory = folder + "/memory"
        if plan.mounts.contains(where: { $0.kind == .memory }) {
            mkdir(inMemory, 0o700)
            try memory(inMemory, mode: "700")
        }
        var layers: [Int: SessionLayer] = [:]
        for (number, mount) in plan.mounts.enumerated() {
            let place: String
            switch mount.kind {
            case .layer: place = folder
            case .memory: place = inMemory
            case .writable, .readOnly: continue
            }
            layers[number] = try SessionLayer(lower: folders[number], in: place, number)
        }
        return layers
    }

    private func restricted(_ isReadOnly: Bool) -> UInt64 {
        UInt64(LINUX_MOUNT_NO_SET_ID | LINUX_MOUNT_NO_DEVICES | (isReadOnly ? LINUX_MOUNT_READ_ONLY : 0))
    }

    private func separate() throws(SessionFailure) {
        // Mounts, host name, message queues, control groups, and perhaps network.
        let kinds: UInt32 = 0x2_0000 | 0x0400_0000 | 0x0800_0000 | 0x0200_0000 | (plan.sharesNetwork ? 0 : 0x4000_0000)
        guard linux_unshare(CInt(bitPattern: kinds)) == 0 else {
            throw SessionFailure("making namespaces", code: errno, kind: .unsupported)
        }
        guard linux_mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil) == 0 else {
            throw SessionFailure("separating mounts", code: errno, kind: .unsupported)
        }
        try check("setting the host name", linux_set_host_name("sandbox"))
        if !plan.sharesNetwork { try check("starting the loopback network", linux_raise_loopback()) }
    }

    // MARK: What comes from the sandbox

    private struct Taken {
        /// Of `plan.mounts`: a copy to attach, or the folder below a layer.
        var folders: [CInt] = []
        /// The session's own folder.
        var changes: CInt = -1
        var bindings: [CInt] = []
        var temporary: CInt = -1
        var devices: [(name: String, copy: CInt)] = []

        func close() {
            for descriptor in folders + bindings + [temporary, changes] + devices.map(\.copy) where descriptor >= 0 {
                Glibc.close(descriptor)
            }
        }
    }

    private func take() throws(SessionFailure) -> Taken {
        var taken = Taken()
        for mount in plan.mounts {
            // Not where a link leads that another session has made.
            let descriptor = try open(mount.path, isFolder: true, followsLinks: false)
            switch mount.kind {
            case .layer, .memory: taken.folders.append(descriptor)
            case .writable, .readOnly:
                taken.folders.append(try copy(descriptor, restricted(mount.kind == .readOnly), of: mount.path))
            }
        }
        for binding in plan.bindings {
            let descriptor = try open(binding.source, isFolder: false)
            let place = try self.place(of: descriptor)
            guard plan.allowedSources.contains(where: { FilePath.isInside(place, $0) }) else {
                let places = plan.allowedSources.isEmpty ? "any folder" : plan.allowedSources.joined(separator: ", ")
                throw SessionFailure(.refused, "\(binding.source) is not below \(places) that the sandbox allows")
            }
            taken.bindings.append(try copy(descriptor, restricted(binding.isReadOnly), of: binding.source))
        }
        if !plan.hasOwnTemporaryFolder {
            taken.temporary = try copy(try open("/tmp", isFolder: true), restricted(false), of: "/tmp")
        }
        let changes = folder + "/" + plan.folder
        let descriptor = Glibc.open(changes, LINUX_O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { throw SessionFailure("opening \(changes)", code: errno) }
        taken.changes = try copy(descriptor, restricted(false), of: changes)
        taken.devices = SessionDevices.take()
        return taken
    }

    private func open(_ path: String, isFolder: Bool, followsLinks: Bool = true) throws(SessionFailure) -> CInt {
        let flags = LINUX_O_PATH | O_CLOEXEC | (isFolder ? O_DIRECTORY : 0)
        let descriptor = followsLinks ? Glibc.open(path, flags) : linux_open_without_links(path, flags)
        guard descriptor >= 0 else {
            throw SessionFailure("opening \(path)", code: followsLinks ? errno : -descriptor, kind: .refused)
        }
        let place = try self.place(of: descriptor)
        let isOfKernel = Self.own.contains { FilePath.isInside(place, $0) }
        guard place != "/", !isOfKernel,
            !hidden.contains(where: { FilePath.isInside(place, $0) || FilePath.isInside($0, place) })
        else {
            throw SessionFailure(.refused, "\(path) is \(place), which a session cannot have")
        }
        return descriptor
    }

    /// Where an open file really is.
    private func place(of descriptor: CInt) throws(SessionFailure) -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = readlink("/proc/self/fd/\(descriptor)", &buffer, buffer.count)
        guard length > 0 else { throw SessionFailure("finding a folder's place", code: errno) }
        return String(decoding: buffer.prefix(length).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    private func copy(_ descriptor: CInt, _ attributes: UInt64, of path: String) throws(SessionFailure) -> CInt {
        defer { close(descriptor) }
        let copy = linux_mount_copy(descriptor, "")
        try check("copying the mount of \(path)", copy)
        try check("restricting the mount of \(path)", linux_mount_restrict(copy, "", attributes))
        return copy
    }

    // MARK: What a session gets

    private func makeTemporaryFolder(_ copy: CInt) throws(SessionFailure) {
        if copy >= 0 {
            try check("mounting /tmp", linux_mount_attach(copy, "/tmp"))
        } else if !plan.mounts.contains(where: { $0.path == "/tmp" }), FileStatus.isFolder("/tmp") {
            try memory("/tmp", mode: "1777")
        }
        if FileStatus.isFolder("/run") { try memory("/run", mode: "755") }
    }

    /// Also the place of the file that runs code, which a session can read and not change.
    private func hide() throws(SessionFailure) {
        for path in hidden where FileStatus.isFolder(path) { try memory(path, mode: "755", bytes: 64 << 10) }
        let runner = SessionPlan.runner(in: folder)
        do throws(SystemCallError) {
            try File.write(Array(IsolationDialogue.runner.utf8), to: runner, mode: 0o444)
        } catch { throw SessionFailure("writing \(runner)", code: error.code) }
        let closed = UInt64(LINUX_MOUNT_READ_ONLY)
        for path in hidden where FileStatus.isFolder(path) {
            try check("closing \(path)", linux_mount_restrict(AT_FDCWD, path, closed))
        }
    }

    private func memory(_ path: String, mode: String, bytes: Int64? = nil) throws(SessionFailure) {
        let options = "mode=\(mode),size=\(bytes ?? plan.memoryBytes)"
        guard linux_mount("tmpfs", path, "tmpfs", Self.quiet, options) == 0 else {
            throw SessionFailure("mounting \(path)", code: errno)
        }
    }

    private func check(_ step: String, _ status: CInt, _ kind: SessionFailure.Kind = .failed) throws(SessionFailure) {
        guard status >= 0 else { throw SessionFailure(step, code: -status, kind: kind) }
    }
}
