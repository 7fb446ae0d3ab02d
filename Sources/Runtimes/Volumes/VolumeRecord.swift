import FoundationEssentials
import JSON
import Netfilter
import System

/// What is known of a named volume, in a file beside its data, so that both are moved, backed up and lost together.
package struct VolumeRecord: Codable, Hashable, Sendable {
    package enum Maker: String, Codable, Hashable, Sendable {
        /// A request for a sandbox.
        case server
        /// `sallyport volume create`
        case `operator`
    }

    package var name: String
    /// Seconds since 1970.
    package var createdAt: Int
    /// The limit of its data; nil if nothing holds it to one.
    package var bytes: Int64?
    package var madeBy: Maker
    /// The id of the API key whose it is: others do not get it. nil for the server's own key, and for operators.
    package var owner: String?
    /// The id of the sandbox with which it goes; nil if it stays until it is removed.
    package var goesWith: String?

    package init(
        name: String, createdAt: Int, bytes: Int64?, madeBy: Maker, owner: String? = nil, goesWith: String? = nil
    ) {
        self.name = name
        self.createdAt = createdAt
        self.bytes = bytes
        self.madeBy = madeBy
        self.owner = owner
        self.goesWith = goesWith
    }

    /// Whether sandboxes of this caller may have it. What an operator made is everybody's, and the server's own key, which
    /// is nil, gets all.
    func isFor(_ caller: String?) -> Bool { madeBy == .operator || caller == nil || owner == caller }

    static let fileName = "volume.json"

    func write(to folder: String) throws(SystemCallError) {
        // Strings and numbers can always be encoded.
        try File.replace(
            folder + "/" + Self.fileName, with: [UInt8](try! JSONEncoder().encode(self)), mode: 0o600,
            synchronizes: true)
    }

    /// nil if there is none, or if it is not of this name.
    static func read(from folder: String) -> VolumeRecord? {
        guard let bytes = try? File.read(folder + "/" + fileName),
            let record = try? JSONValue(bytes).decode(VolumeRecord.self)
        else { return nil }
        return record.name == folder.splitAtLastSlash.name ? record : nil
    }
}
