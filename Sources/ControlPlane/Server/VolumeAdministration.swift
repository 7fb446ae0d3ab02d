import JSON
import Logging
import Runtimes
import SafeText
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The named volumes of a server, for its operator. It needs no server, and a server may run meanwhile.
package struct VolumeAdministration: Sendable {
    private let settings: Settings
    private let volumes: NamedVolumes

    package init(_ settings: Settings) {
        self.settings = settings
        volumes = NamedVolumes(directory: settings.volumesFolder, sandboxes: settings.sandboxesFolder)
    }

    /// For people: name, size, who made it (`operator`, `server` or the id of an API key), when, and which sandboxes have it.
    package var table: TextTable {
        var table = TextTable("NAME", "SIZE", "MADE BY", "CREATED", "SANDBOXES")
        for volume in volumes.all {
            table.add([
                volume.name, volume.bytes.map { "\($0 >> 20)Mi" } ?? "no limit", volume.owner ?? volume.madeBy.rawValue,
                Self.moment(volume), volumes.users(of: volume.name).joined(separator: " "),
            ])
        }
        return table
    }

    package var names: [String] { volumes.all.map(\.name) }

    /// The same for programs.
    package var json: JSONValue { .array(volumes.all.map { described($0) }) }

    private func described(_ volume: VolumeRecord) -> JSONValue {
        .object([
            "name": .string(volume.name), "bytes": volume.bytes.map { JSONValue.integer(Int($0)) } ?? .null,
            "madeBy": .string(volume.owner ?? volume.madeBy.rawValue), "createdAt": .string(Self.moment(volume)),
            "sandboxes": .array(volumes.users(of: volume.name).map { .string($0) }),
        ])
    }

    private static func moment(_ volume: VolumeRecord) -> String {
        "\(Timestamp(microseconds: 0).adding(seconds: volume.createdAt))"
    }

    /// - Parameters:
    ///   - size: `10Gi`; nil for the configured default.
    ///   - source: a folder with the files that it is to begin with; nil for none.
    package func create(_ name: String, size: String?, from source: String?) throws {
        guard SandboxVolume.isName(name, upTo: 253) else {
            throw ConfigurationError(
                "\(name.prefix(300)) is not a valid name: use a-z, 0-9 and -, with a letter or digit at both ends")
        }
        let bytes = size.map { ResourceQuantity.bytes($0) } ?? settings.storage.defaultBytes
        guard let bytes, (ResourceLimits.leastDisk...ResourceLimits.maxDisk).contains(bytes) else {
            throw ConfigurationError("\(size ?? "") is not a size from 16Mi to 4Ti: write, for example, 10Gi")
        }
        try StateFolders.make(settings)
        mkdir(settings.sandboxesFolder, 0o700)
        let limits = try DiskLimits(
            settings.local.disk, folder: settings.sandboxesFolder,
            keepsProjects: settings.local.userNamespaces.mode != .off, logger: Logger(label: "sallyport"))
        guard limits.isEnforced || size == nil else { throw RuntimeError.unenforcedLimit("disk") }
        let record = VolumeRecord(name: name, createdAt: time(nil), bytes: bytes, madeBy: .operator)
        guard try volumes.create(record, limits, from: source, reserve: settings.local.disk.reserve) else {
            throw ConfigurationError("there is a volume \(name) already")
        }
        try volumes.release(name)
    }

    package func remove(_ name: String) throws {
        var failure: (any Error)?
        guard
            try volumes.remove(name, take: { path in do { try NamedVolumes.discard(path) } catch { failure = error } })
        else { throw ConfigurationError("there is no volume \(name.prefix(300))") }
        if let failure { throw failure }
    }
}
