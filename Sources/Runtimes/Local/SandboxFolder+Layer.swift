import Addresses
import NetworkPolicy

#if canImport(Glibc)
    import Glibc
#endif

extension SandboxFolder {
    /// Writes the files that tell a sandbox who and where it is into its own layer, over those of the image: what it makes
    /// of them is its own, and counts against its disk limit.
    ///
    /// Before the layers are joined: a path of the image may have links in it, which lead the host elsewhere.
    ///
    /// - Parameter image: with the owners that the sandbox is to see.
    func writeIdentity(
        hostname: String, address: IPv4Address, image: String, _ users: IdentifierRange?
    ) throws(RuntimeError) {
        let folder = upper + "/etc"
        guard mkdir(folder, 0o755) == 0 else { throw disk.failure("making the layer on") }
        try give([folder], to: users)
        // A folder of both layers looks as the upper one does.
        var status = stat()
        if lstat(image + "/etc", &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
            chown(folder, status.st_uid, status.st_gid)
            chmod(folder, status.st_mode & 0o7777)
        }
        let files = [
            // Whatever server is named here, the guard answers.
            "resolv.conf": "nameserver 127.0.0.1\noptions edns0\n",
            "hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n\(address)\t\(hostname)\n",
            "hostname": hostname + "\n",
        ]
        for (name, text) in files { try Self.write(text, to: "\(folder)/\(name)", mode: 0o644) }
        try give(files.keys.map { "\(folder)/\($0)" }, to: users)
    }
}
