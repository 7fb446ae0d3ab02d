#if canImport(Glibc)
    import Glibc
#endif

/// What an OCI runtime sees otherwise than this program.
struct RuntimeView: Hashable, Sendable {
    /// The sandbox's folder as the runtime has it. What makes a sandbox's mounts is its root, who is nobody outside: it must
    /// not need a right to the folders above, which are the machine's root's alone.
    static let folder = SandboxFolder(
        path: ["/mnt", "/srv", "/media", "/opt"].first { access($0, X_OK) == 0 } ?? "/mnt")

    /// Mounted in this order, for it alone.
    let bindings: [Binding]
    let networkNamespace: String?

    struct Binding: Hashable, Sendable {
        var source, target: String
    }

    /// - Parameters:
    ///   - execd: the program that every sandbox starts with.
    ///   - networkNamespace: nil: the one of this program.
    init(_ folder: SandboxFolder, execd: String, networkNamespace: String?) {
        self.networkNamespace = networkNamespace
        // The program first, while its path still leads where it does here.
        bindings = [
            Binding(source: execd, target: folder.execd), Binding(source: folder.path, target: Self.folder.path),
        ]
    }
}
