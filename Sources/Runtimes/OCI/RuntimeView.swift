import System

#if canImport(Glibc)
    import Glibc
#endif

/// The mounts that an OCI runtime sees differently from this program.
struct RuntimeView: Hashable, Sendable {
    /// The sandbox's folder as the runtime sees it. Mounts are made by the sandbox's root, who is an unprivileged user
    /// outside and has no access to the folders above, which belong to the machine's root.
    static let folder = SandboxFolder(
        path: ["/mnt", "/srv", "/media", "/opt"].first { access($0, X_OK) == 0 } ?? "/mnt")

    /// Mounted in this order, for the runtime only.
    let bindings: [Binding]
    /// Attached after them.
    let attachments: [ProcessLaunch.Mounts.Attachment]
    let networkNamespace: String?

    struct Binding: Hashable, Sendable {
        var source, target: String
    }

    /// - Parameters:
    ///   - execd: the program that every sandbox starts with.
    ///   - networkNamespace: nil for this program's own.
    init(
        _ folder: SandboxFolder, execd: String, networkNamespace: String?,
        attachments: [ProcessLaunch.Mounts.Attachment] = []
    ) {
        self.networkNamespace = networkNamespace
        self.attachments = attachments
        // Bind the program first, while its path still resolves as it does here.
        bindings = [
            Binding(source: execd, target: folder.execd), Binding(source: folder.path, target: Self.folder.path),
        ]
    }
}
