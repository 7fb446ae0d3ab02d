import Foundation

extension SandboxFolder {
    /// Writes the sandbox's token and the bundle's configuration.
    func writeBundle(
        of record: SandboxRecord, _ configuration: LocalConfiguration, _ users: SandboxUsers?
    ) throws(RuntimeError) {
        var spec = record.spec
        if let shared = record.shared { spec.environment = shared.environment(spec.environment) }
        // As the OCI runtime sees them.
        let seen = RuntimeView.folder
        let files = SandboxFiles(
            hostname: record.hostname, system: seen.system, token: spec.execdToken == nil ? nil : seen.file("token"),
            isolation: record.isolates ? seen.isolation : nil, sharedPort: record.shared?.execd,
            volumes: VolumePlan(spec.volumes ?? []).entries.map(\.volume).enumerated().map { place, volume in
                .init(
                    mountPath: "\(volume.mountPath)", source: VolumeMounts.target(place, in: seen),
                    isReadOnly: volume.isReadOnly)
            })
        if let token = spec.execdToken {
            try write(token, to: "token", mode: 0o400)
            try give([file("token")], to: users?.range)
        }
        var bundle = BundleConfiguration(
            spec, rootfs: seen.rootfs, group: group, execd: seen.execd, files: files, users: users,
            maxOutputLine: configuration.maxOutputLine)
        if configuration.gVisor != nil { bundle = bundle.forGVisor }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        // Strings, numbers and lists can always be encoded.
        try write(String(decoding: try! encoder.encode(bundle), as: UTF8.self), to: "bundle/config.json")
    }
}
