import Addresses
import NetworkPolicy
import System

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
        hostname: String, _ names: NameFiles, lower: [String], _ users: IdentifierRange?
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
        let files = ["resolv.conf": names.resolver, "hosts": names.hosts(hostname), "hostname": hostname + "\n"]
        for (name, text) in files { try Self.write(text, to: "\(folder)/\(name)", mode: 0o644) }
        try give(files.keys.map { "\(folder)/\($0)" }, to: users)
    }
}

/// What a sandbox is told of names in its network.
enum NameFiles: Hashable, Sendable {
    /// A network of its own, at this address.
    case own(IPv4Address)
    /// The machine's, with what the machine knows of names.
    case shared

    private static let local = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n"

    /// resolv.conf(5).
    var resolver: String {
        switch self {
        // The guard answers whatever server is given here.
        case .own: "nameserver 127.0.0.1\noptions edns0\n"
        case .shared: File.text("/etc/resolv.conf") ?? ""
        }
    }

    /// hosts(5).
    func hosts(_ hostname: String) -> String {
        switch self {
        case .own(let address): Self.local + "\(address)\t\(hostname)\n"
        // An address of loopback that is nobody else's name.
        case .shared: (File.text("/etc/hosts") ?? Self.local) + "\n127.0.1.2\t\(hostname)\n"
        }
    }
}
