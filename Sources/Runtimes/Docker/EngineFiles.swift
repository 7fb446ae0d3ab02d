import Synchronization

/// What of the machine's files makes its reader or writer the engine's master, and so the machine's: no sandbox is given any of it.
final class EngineFiles: Sendable {
    private let engine: EngineClient
    /// As the engine says; asked for once.
    private let told = Mutex<[String]?>(nil)

    init(_ engine: EngineClient) { self.engine = engine }

    /// Where Docker and containerd have their sockets and files usually. Another engine than ours may be there, too.
    private static let usual = [
        "/run/docker.sock", "/var/run/docker.sock", "/run/docker", "/run/containerd", "/var/lib/docker",
        "/var/lib/containerd",
    ]

    /// - Throws: `.unavailable` while the engine does not say where its files are.
    func all() async throws(RuntimeError) -> [String] {
        if let known = told.withLock({ $0 }) { return known }
        let folder: String?
        do throws(EngineFailure) {
            folder = try await engine.get(EngineCall("GET", "info"), as: EngineInfo.self).folder
        } catch { throw RuntimeError(error, "asking the engine for its folder") }
        var files = Self.usual
        if case .socket(let path) = engine.address.place { files.append(path) }
        if let folder, folder.hasPrefix("/") { files.append(folder) }
        told.withLock { [files] in $0 = files }
        return files
    }
}
