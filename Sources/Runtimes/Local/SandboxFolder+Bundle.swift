import Foundation

extension SandboxFolder {
    /// Writes what the OCI runtime and the sandbox read: its token, and the bundle's configuration.
    func writeBundle(
        of record: SandboxRecord, _ configuration: LocalConfiguration
    ) throws(RuntimeError) {
        let spec = record.spec
        let files = SandboxFiles(hostname: record.hostname, token: spec.execdToken == nil ? nil : file("token"))
        if let token = spec.execdToken { try QuickFile.write(Array(token.utf8), to: file("token"), mode: 0o400) }
        let bundle = BundleConfiguration(
            spec, rootfs: rootfs, namespacePath: record.link.namespacePath, execd: configuration.execdPath,
            files: files, longestOutputLine: configuration.longestOutputLine)
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        // Every field is a string, a number or a list of them.
        try write(String(decoding: try! encoder.encode(bundle), as: UTF8.self), to: "bundle/config.json")
    }
}
