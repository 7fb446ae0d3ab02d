import Netfilter
import Observability
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Files that the server appends to and rotates.
extension Settings {
    /// Two that are one would be moved away under each other, and mix what they say; one that is the store would destroy it.
    /// - Throws: where two settings name one file, or one names what another is rotated to.
    func refuseSharedFiles() throws(ConfigurationError) {
        let named: [(key: String, path: String?)] = [
            ("server.audit_log", server.auditLog), ("egress.audit_log", egress.auditLog),
            ("log.file_path", log.file?.path), ("store.path", storePath),
        ]
        let files = named.compactMap { key, path in path.map { (key: key, path: Self.canonical($0)) } }
        for (place, file) in files.enumerated() {
            for other in files[(place + 1)...] where Self.collide(file.path, other.path) {
                throw ConfigurationError("\(file.key) and \(other.key) are the same file: give each its own")
            }
        }
    }

    private static func collide(_ one: String, _ other: String) -> Bool {
        one == other || isRotated(one, of: other) || isRotated(other, of: one)
    }

    /// `path.1`, `path.12.gz`
    private static func isRotated(_ path: String, of other: String) -> Bool {
        guard path.hasPrefix(other + ".") else { return false }
        let parts = path.dropFirst(other.count + 1).split(separator: ".", omittingEmptySubsequences: false)
        return Int(parts[0]) != nil && (parts.count == 1 || parts.dropFirst().first == "gz")
    }

    /// Without links, as far as it is there, and without `.`, `..` and doubled slashes.
    private static func canonical(_ path: String) -> String {
        if let real = real(path) { return real }
        let (folder, name) = path.splitAtLastSlash
        if let real = real(folder.isEmpty ? (path.hasPrefix("/") ? "/" : ".") : folder) { return real + "/" + name }
        var steps: [Substring] = []
        for step in path.split(separator: "/") where step != "." {
            if step == ".." { _ = steps.popLast() } else { steps.append(step) }
        }
        return (path.hasPrefix("/") ? "/" : "") + steps.joined(separator: "/")
    }

    private static func real(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return String(cString: real)
    }
}
