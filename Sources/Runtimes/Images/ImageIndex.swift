import FoundationEssentials
import JSON
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Which images there are and who may use them, stored in one file that is replaced atomically.
final class ImageIndex: Sendable {
    struct Entry: Codable, Hashable, Sendable {
        enum Access: String, Codable, Sendable {
            /// Registered on this machine.
            case local
            /// Fetched without credentials; for everybody.
            case open
            /// Fetched with credentials; only for callers whom the registry allows it at the moment.
            case restricted
        }
        var image: SandboxImage
        /// Registry and repository.
        var name: String
        /// The registry's digest of the image, or of its list of manifests; nil for local images.
        var manifest: String?
        var access: Access

        var isThere: Bool { Glibc.access(image.root, R_OK | X_OK) == 0 }
    }

    private let folders: ImageFolders
    private let entries: Mutex<[String: Entry]>

    /// Reads the index of an earlier server. An unreadable file counts as empty, since images can be fetched again.
    init(folders: ImageFolders) {
        self.folders = folders
        let data = try? File.read(folders.index)
        let read = data.flatMap { try? JSONValue($0).decode([Entry].self) } ?? []
        entries = Mutex(Dictionary(read.map { ($0.image.reference, $0) }) { $1 })
    }

    var all: [Entry] { entries.withLock { $0.values.filter(\.isThere) } }

    /// The image of a name, whoever may have it.
    subscript(_ reference: ImageReference) -> SandboxImage? { entries.withLock { $0[reference.description]?.image } }

    func entry(_ reference: ImageReference) -> Entry? { entries.withLock { $0[reference.description] } }

    /// The image, if it is here and for everybody.
    func forEverybody(_ reference: ImageReference) -> SandboxImage? {
        entries.withLock { entries in
            guard let entry = entries[reference.description], entry.access != .restricted, entry.isThere else {
                return nil
            }
            return entry.image
        }
    }

    /// The image for a caller to whom the registry has just given this manifest digest; nil if it must be fetched.
    ///
    /// Files of an image from another repository are used only if that image is open to everybody. Having a manifest
    /// does not prove a right to its layers: whoever knows a private image's manifest could serve it from another
    /// registry.
    func admit(
        _ reference: ImageReference, manifest: String, withCredentials: Bool
    ) throws(ImageError) -> SandboxImage? {
        try change { entries throws(ImageError) in
            let known = entries.values.filter { $0.manifest == manifest && $0.isThere }
            guard var entry = known.first(where: { $0.name == reference.name || $0.access == .open }) else {
                return nil
            }
            entry.image.reference = reference.description
            entry.name = reference.name
            entry.access = withCredentials ? .restricted : .open
            entries[reference.description] = entry
            return entry.image
        }
    }

    /// - Throws: `ImageError.pullFailed` if another caller has removed the files.
    func record(_ entry: Entry) throws(ImageError) {
        try change { entries throws(ImageError) in
            guard entry.isThere else {
                throw .pullFailed(entry.image.reference, reason: "its files were removed meanwhile: try again")
            }
            entries[entry.image.reference] = entry
        }
    }

    /// Removes a reference, and its files if no other reference uses them.
    ///
    /// - Parameter isClaimed: whether a sandbox is being made of it.
    /// - Throws: `ImageError.notFound`, or `.inUse` if sandboxes or snapshots use the files.
    func remove(
        _ reference: ImageReference, isClaimed: (ImageReference) -> Bool = { _ in false }
    ) throws(ImageError) {
        let hidden: String? = try change { entries throws(ImageError) in
            guard !isClaimed(reference) else { throw .inUse(reference.familiar) }
            guard let entry = entries.removeValue(forKey: reference.description) else {
                throw .notFound(reference.familiar)
            }
            let root = entry.image.root
            guard entry.access != .local else { return nil }
            // Nobody knows by which of its names a sandbox stands on it.
            guard !folders.isUsed(root) else { throw .inUse(reference.familiar) }
            return entries.values.contains { $0.image.root == root } ? nil : folders.hide(root)
        }
        if let hidden { folders.leftovers.take(files: hidden) }
    }

    /// Changes the entries both in the file and in memory, or in neither.
    private func change<Result>(
        _ body: (inout [String: Entry]) throws(ImageError) -> Result
    ) throws(ImageError) -> Result {
        try entries.withLock { entries throws(ImageError) in
            var changed = entries
            let result = try body(&changed)
            if changed != entries { try write(changed) }
            entries = changed
            return result
        }
    }

    private func write(_ entries: [String: Entry]) throws(ImageError) {
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            let data = try encoder.encode(entries.values.sorted { $0.image.reference < $1.image.reference })
            // Written to a temporary file, then renamed.
            try data.write(to: URL(filePath: folders.index), options: .atomic)
        } catch {
            throw .storage(action: "writing \(folders.index)", reason: "\(error)")
        }
    }
}
