import Foundation

extension SandboxFolder {
    /// Writes what the OCI runtime and the sandbox read: its own files of /etc, its token, and the bundle's configuration.
    func writeBundle(
        of record: SandboxRecord, pool: AddressPool, _ configuration: LocalConfiguration
    ) throws(RuntimeError) {
        let spec = record.spec
        let files = SandboxFiles(
            hostname: "sandbox-" + spec.id.prefix(8), resolvConf: file("resolv.conf"), hosts: file("hosts"),
            hostnameFile: file("hostname"), token: spec.execdToken == nil ? nil : file("token"))
        if let token = spec.execdToken { try QuickFile.write(Array(token.utf8), to: file("token"), mode: 0o400) }
        // Whatever server is named here, the guard answers.
        try write("nameserver 127.0.0.1\noptions edns0\n", to: "resolv.conf")
        try write(
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n\(pool.address(record.link.host))\t\(files.hostname)\n",
            to: "hosts")
        try write(files.hostname + "\n", to: "hostname")
        let bundle = BundleConfiguration(
            spec, rootfs: rootfs, namespacePath: record.link.namespacePath, execd: configuration.execdPath,
            files: files, longestOutputLine: configuration.longestOutputLine)
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        // Every field is a string, a number or a list of them.
        try write(String(decoding: try! encoder.encode(bundle), as: UTF8.self), to: "bundle/config.json")
    }
}
