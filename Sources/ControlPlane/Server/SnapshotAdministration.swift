import FoundationEssentials
import JSON
import Runtimes
import SafeText

#if canImport(Glibc)
    import Glibc
#endif

/// The snapshots of a server, for its operator. It needs no server, and one may run meanwhile.
package struct SnapshotAdministration: Sendable {
    private let settings: Settings

    package init(_ settings: Settings) { self.settings = settings }

    private func snapshots() async throws -> [Snapshot] {
        // Opening a store makes one.
        guard access(settings.database, F_OK) == 0 else { return [] }
        return try await SQLiteStore(path: settings.database).snapshots.all().sorted { $0.createdAt < $1.createdAt }
    }

    /// As the API shows them.
    package func listed() async throws -> [JSONValue] {
        try await snapshots().map { try JSONValue(JSONText.of(SnapshotView($0))) }
    }

    /// Pushes a snapshot to a registry as an image, and returns its reference.
    /// - Parameters:
    ///   - name: its id, or its name where only one has it.
    ///   - destination: `docker://registry/repository:tag`.
    ///   - credentials: a file as containers-auth.json(5) has it; nil for none.
    package func push(_ name: String, to destination: String, credentials: String?) async throws -> String {
        let scheme = "docker://"
        guard destination.hasPrefix(scheme) else {
            throw ConfigurationError(
                "\(ForeignText.escaped(destination, limit: 80)) is not a place in a registry: write docker://registry/repository:tag"
            )
        }
        let reference = try ImageReference(String(destination.dropFirst(scheme.utf8.count)))
        if let credentials, access(credentials, R_OK) != 0 {
            throw ConfigurationError("\(credentials) cannot be read: \(String(cString: strerror(errno)))")
        }
        let id = try await id(of: name)
        try SnapshotPush(
            directory: settings.snapshotsFolder, insecureRegistries: settings.local.insecureRegistries,
            reserve: settings.local.disk.reserve
        ).push(id, to: reference, credentials: credentials.map(Self.absolute))
        return "\(reference)"
    }

    private func id(of name: String) async throws -> String {
        let all = try await snapshots()
        if all.contains(where: { $0.id == name }) { return name }
        let named = all.filter { $0.name == name && $0.state == .ready }
        guard named.count < 2 else {
            throw ConfigurationError(
                "\(named.count) snapshots are called \(ForeignText.escaped(name, limit: 80)): "
                    + "say which by its id, \(named.map(\.id).joined(separator: " or "))")
        }
        return named.first?.id ?? name
    }

    /// skopeo runs in another folder.
    private static func absolute(_ path: String) -> String {
        guard let absolute = realpath(path, nil) else { return path }
        defer { free(absolute) }
        return String(cString: absolute)
    }
}
