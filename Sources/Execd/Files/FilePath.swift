#if canImport(Glibc)
    import Glibc
#endif

/// Makes the paths of requests absolute.
struct PathExpansion: Hashable, Sendable {
    /// What `~` stands for.
    var home: String
    /// What relative paths start from; nil: execd's folder of the moment.
    var base: String?

    init(home: String, base: String? = nil) {
        self.home = home
        self.base = base
    }

    /// The absolute path without doubled slashes, `.` and a slash at its end. `..` stays: only the kernel knows what it
    /// means behind a symbolic link.
    func callAsFunction(_ path: String) throws(FileFailure) -> String {
        guard !path.isEmpty else { throw .invalidRequest("a path is empty") }
        guard !path.utf8.contains(0) else { throw .invalidRequest("a path has a NUL byte") }
        let absolute =
            if path == "~" || path.hasPrefix("~/") {
                home + path.dropFirst()
            } else if path.hasPrefix("/") {
                path
            } else {
                (base ?? Self.currentFolder) + "/" + path
            }
        return "/" + absolute.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
    }

    private static var currentFolder: String {
        guard let path = getcwd(nil, 0) else { return "/" }
        defer { free(path) }
        return String(cString: path)
    }
}

/// The parts of an absolute path as `PathExpansion` makes it.
enum FilePath {
    static func folder(of path: String) -> String {
        let end = path.utf8.lastIndex(of: UInt8(ascii: "/")) ?? path.startIndex
        return end == path.startIndex ? "/" : String(path[..<end])
    }

    static func name(of path: String) -> String {
        String(path.split(separator: "/").last ?? "")
    }

    static func join(_ folder: String, _ name: String) -> String {
        folder == "/" ? "/" + name : folder + "/" + name
    }
}
