/// Where an entry of an archive goes, by the names of folders below the one that is unpacked to. A value without I/O.
struct EntryPath: Hashable, Sendable {
    /// Empty for the folder itself.
    let names: [String]

    /// Less than what can be deleted again.
    static let maxDepth = FolderWalk.maxDepth - 2

    /// - Throws: for a name that is absolute, leads up, is too deep, or has a part that no file can have.
    init(_ text: String) throws(FileError) {
        guard text.utf8.first != FilePath.slash else {
            throw .invalidContent("\(text.prefix(200)) is an absolute name")
        }
        let parts = text.utf8.split(separator: FilePath.slash).map { String(decoding: $0, as: UTF8.self) }
        guard !parts.contains("..") else { throw .invalidContent("\(text.prefix(200)) leads out of the folder") }
        names = parts.filter { $0 != "." }
        guard names.count <= Self.maxDepth else {
            throw .invalidContent("\(text.prefix(200)) is deeper than \(Self.maxDepth) folders")
        }
        guard names.allSatisfy({ $0.utf8.count <= 255 }) else {
            throw .invalidContent("\(text.prefix(200)) has a part of more than 255 bytes")
        }
    }

    var folder: ArraySlice<String> { names.dropLast() }

    /// Whether a symbolic link of this name leads to nowhere outside the folder, whatever other such links there are. For that,
    /// `..` may stand only at its start, where it goes up through folders and not through links.
    func keepsInside(linkTo target: String) -> Bool {
        guard target.utf8.first != FilePath.slash else { return false }
        let parts = target.utf8.split(separator: FilePath.slash).map { String(decoding: $0, as: UTF8.self) }
            .filter { $0 != "." }
        let up = parts.prefix { $0 == ".." }.count
        return up <= folder.count && !parts.dropFirst(up).contains("..")
    }
}
