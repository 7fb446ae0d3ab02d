/// One entry of a tar archive.
struct TarEntry: Hashable, Sendable {
    enum Kind: Hashable, Sendable {
        case file, folder
        case symbolicLink(String)
        /// Another name of an earlier entry.
        case hardLink(String)
    }

    var name: String
    var kind: Kind
    /// The twelve permission bits.
    var mode: UInt32 = 0o644
    var user: UInt32 = 0
    var group: UInt32 = 0
    /// Bytes of content behind the header.
    var size: Int64 = 0
    /// Seconds since 1970.
    var modified: Int64 = 0
}

/// Why an archive is not unpacked.
enum TarError: Error, Hashable, Sendable, CustomStringConvertible {
    case truncated
    case notAnArchive
    case field(String)
    /// Devices, FIFOs, sparse files, and what else is not unpacked.
    case kind(String, UInt8)
    case tooLong(String)

    var description: String {
        switch self {
        case .truncated: "the archive ends too early"
        case .notAnArchive: "this is not a tar archive, or it is compressed: a header's checksum is wrong"
        case .field(let text): "the archive has a malformed header: \(text)"
        case .kind(let name, let type):
            "\(name.prefix(200)) is of a kind that is not unpacked: type \(type) (files, folders and links are)"
        case .tooLong(let text): "\(text) is too long"
        }
    }
}

/// Blocks of 512 bytes, of which an archive consists.
enum TarBlock {
    static let size = 512

    /// Bytes between a content and the next block.
    static func padding(behind size: Int64) -> Int {
        Int((Int64(self.size) - size % Int64(self.size)) % Int64(self.size))
    }

    /// What stands behind the last entry.
    static let end = [UInt8](repeating: 0, count: 2 * size)
}
