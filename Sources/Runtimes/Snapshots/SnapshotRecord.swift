import FoundationEssentials
import JSON
import System

/// A snapshot on the disk: the image and the layers that a sandbox is to stand on. It is there when this file is.
struct SnapshotRecord: Codable, Hashable, Sendable {
    var id: String
    /// The server that took it.
    var owner: String
    /// What is below the layers, and its settings for running it.
    var image: SandboxImage
    /// Names of layers, the topmost first. Each has the id of the snapshot with which it was made.
    var layers: [String]

    /// Waits for the disk, since a snapshot outlives the machine's restart.
    func write(to path: String) throws(RuntimeError) {
        do throws(SystemCallError) {
            // Strings can always be encoded. Environments of images may contain secrets.
            try File.replace(path, with: [UInt8](try! JSONEncoder().encode(self)), mode: 0o600, synchronizes: true)
        } catch {
            throw .system(action: "writing \(path)", reason: "\(error)")
        }
    }

    /// nil if it is another's, a later server's, or damaged: names become parts of paths.
    static func read(_ path: String, id: String) -> SnapshotRecord? {
        guard let bytes = try? File.read(path), let record = try? JSONValue(bytes).decode(SnapshotRecord.self),
            record.id == id, record.layers.allSatisfy(LocalEngine.isIdentifier)
        else { return nil }
        return record
    }
}
