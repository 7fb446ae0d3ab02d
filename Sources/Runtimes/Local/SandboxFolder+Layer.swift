import Addresses
import NetworkPolicy

#if canImport(Glibc)
    import Glibc
#endif

extension SandboxFolder {
    /// Writes the files with the sandbox's name and network settings into its own layer, over those of the image. The
    /// sandbox may change them, and they count towards its disk limit.
    ///
    /// Done before the layers are joined, since paths of the image may contain links that lead elsewhere on the host.
    ///
    /// - Parameter lower: what is below, the topmost first, with the owners that the sandbox should see.
    func writeIdentity(
        hostname: String, address: IPv4Address, lower: [String], _ users: IdentifierRange?
    ) throws(RuntimeError) {
        let folder = upper + "/etc"
        guard mkdir(folder, 0o755) == 0 else { throw disk.failure("making the layer on") }
        try give([folder], to: users)
        // The upper folder hides the attributes of the lower one.
        var status = stat()
        if lower.contains(where: { lstat($0 + "/etc", &status) == 0 }), status.st_mode & S_IFMT == S_IFDIR {
            chown(folder, status.st_uid, status.st_gid)
            chmod(folder, status.st_mode & 0o7777)
        }
        let files = [
            // The guard answers whatever server is given here.
            "resolv.conf": "nameserver 127.0.0.1\noptions edns0\n",
            "hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n\(address)\t\(hostname)\n",
            "hostname": hostname + "\n",
        ]
        for (name, text) in files { try Self.write(text, to: "\(folder)/\(name)", mode: 0o644) }
        try give(files.keys.map { "\(folder)/\($0)" }, to: users)
    }
}
