#if canImport(Glibc)
    import Glibc
#endif

/// Makes the paths of requests absolute.
struct PathExpansion: Hashable, Sendable {
    /// The folder for `~`.
    var home: String
    /// The folder for relative paths; nil for execd's current one.
    var base: String?
    /// The folders that paths have to be in; nil for everywhere.
    var bounds: SessionBounds?

    init(home: String, base: String? = nil) {
        self.home = home
        self.base = base
    }

    /// The absolute path without repeated slashes, `.` and a final slash. `..` is kept, since only the kernel knows
    /// what it means after a symbolic link.
    func callAsFunction(_ path: String) throws(FileError) -> String {
        guard !path.isEmpty else { throw .invalidRequest("a path is empty") }
        guard !path.utf8.contains(0) else { throw .invalidRequest("a path has a NUL byte") }
        let bytes = Array(path.utf8)
        let absolute =
            if bytes[0] == FilePath.slash {
                path
            } else if bytes[0] == UInt8(ascii: "~"), bytes.count == 1 || bytes[1] == FilePath.slash {
                home + String(decoding: bytes.dropFirst(), as: UTF8.self)
            } else {
                (base ?? Self.currentFolder) + "/" + path
            }
        let parts = absolute.utf8.split(separator: FilePath.slash).filter { !$0.elementsEqual(".".utf8) }
        let clean = "/" + parts.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "/")
        try bounds?.check(clean)
        return clean
    }

    private static var currentFolder: String {
        guard let path = getcwd(nil, 0) else { return "/" }
        defer { free(path) }
        return String(cString: path)
    }
}

/// Splits absolute paths from `PathExpansion`. By bytes, like the kernel, because a slash with a combining mark is a
/// different Character.
enum FilePath {
    static let slash = UInt8(ascii: "/")

    static func folder(of path: String) -> String {
        let end = path.utf8.lastIndex(of: slash) ?? path.startIndex
        return end == path.startIndex ? "/" : String(path[..<end])
    }

    static func name(of path: String) -> String {
        path.utf8.split(separator: slash).last.map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    static func join(_ folder: String, _ name: String) -> String {
        folder == "/" ? "/" + name : folder + "/" + name
    }

    /// Whether a path is a folder or something below it.
    static func isInside(_ path: String, _ folder: String) -> Bool {
        let path = Array(path.utf8), folder = Array(folder.utf8)
        return folder == [slash]
            || path.starts(with: folder) && (path.count == folder.count || path[folder.count] == slash)
    }
}
