import CLinux
import SafeText

#if canImport(Glibc)
    import Glibc
#endif

/// What a single entry of a layer is given when it is copied: owners, rights, extended attributes, times.
enum LayerFile {
    /// - Parameters:
    ///   - from, to: the open file or folder, and its copy.
    ///   - path: what an error calls it.
    static func giveAttributes(
        _ from: CInt, _ to: CInt, _ status: stat, _ attributes: LayerAttributes, isFolder: Bool, _ path: TreePath
    ) throws(RuntimeError) {
        let (user, group) = (attributes.inside(status.st_uid), attributes.inside(status.st_gid))
        // The owner first: a new one takes away set-id bits and capabilities.
        guard fchown(to, user, group) == 0, fchmod(to, status.st_mode & 0o7777) == 0 else { throw failure(path) }
        for name in try names(from, path) {
            let text = name.description
            guard let value = try value(name, from, path),
                let kept = attributes.kept(text, value, isFolder: isFolder)
            else { continue }
            let code = linux_set_attribute(to, name.bytes, kept, kept.count)
            guard code == 0 else { throw failure(path, -code) }
        }
    }

    /// Takes away what a folder of a lower layer had, since an upper one's attributes take the place of its; but it goes on
    /// hiding what is below.
    static func dropAttributes(of file: CInt, _ path: TreePath) throws(RuntimeError) {
        for name in try names(file, path) where name.description != LayerAttributes.opaque {
            let code = linux_drop_attribute(file, name.bytes)
            guard code == 0 || name.description.hasPrefix("security.") else { throw failure(path, -code) }
        }
    }

    static func giveTimes(_ file: CInt, _ status: stat, _ path: TreePath) throws(RuntimeError) {
        let times = [status.st_atim, status.st_mtim]
        guard futimens(file, times) == 0 else { throw failure(path) }
    }

    /// The same for an entry that is not opened.
    static func give(
        _ name: TreePath, _ status: stat, in folder: CInt, _ attributes: LayerAttributes, _ path: TreePath
    ) throws(RuntimeError) {
        let (user, group) = (attributes.inside(status.st_uid), attributes.inside(status.st_gid))
        guard fchownat(folder, name.bytes, user, group, AT_SYMLINK_NOFOLLOW) == 0 else { throw failure(path) }
        if status.st_mode & S_IFMT != S_IFLNK, fchmodat(folder, name.bytes, status.st_mode & 0o7777, 0) != 0 {
            throw failure(path)
        }
        let times = [status.st_atim, status.st_mtim]
        guard utimensat(folder, name.bytes, times, AT_SYMLINK_NOFOLLOW) == 0 else { throw failure(path) }
    }

    /// Copies a symbolic link, which is followed by nobody.
    static func copyLink(
        _ name: TreePath, _ status: stat, _ from: CInt, _ to: CInt, _ attributes: LayerAttributes, _ path: TreePath
    ) throws(RuntimeError) {
        var text = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let length = readlinkat(from, name.bytes, &text, Int(PATH_MAX))
        guard length >= 0, symlinkat(text, to, name.bytes) == 0 else { throw failure(path) }
        try give(name, status, in: to, attributes, path)
    }

    // MARK: Folders that hide those below

    static func isOpaque(_ folder: CInt) -> Bool {
        var value: UInt8 = 0
        return linux_attribute(folder, LayerAttributes.opaque, &value, 1) == 1 && value == UInt8(ascii: "y")
    }

    static func makeOpaque(_ name: TreePath, in folder: CInt, _ path: TreePath) throws(RuntimeError) {
        let made = linux_open_within(folder, name.bytes, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        guard made >= 0 else { throw failure(path, -made) }
        defer { close(made) }
        let code = linux_set_attribute(made, LayerAttributes.opaque, "y", 1)
        guard code == 0 else { throw failure(path, -code) }
    }

    // MARK: Extended attributes

    /// As large as the kernel allows, both the list and a value (XATTR_LIST_MAX, XATTR_SIZE_MAX).
    private static let most = 64 << 10

    private static func names(_ file: CInt, _ path: TreePath) throws(RuntimeError) -> [TreePath] {
        let size = linux_list_attributes_of(file, nil, 0)
        if size == 0 || size == -Int(ENOTSUP) { return [] }
        guard size > 0 else { throw failure(path, CInt(-size)) }
        var names = [CChar](repeating: 0, count: min(size, most))
        let length = linux_list_attributes_of(file, &names, names.count)
        guard length >= 0 else { throw failure(path, CInt(-length)) }
        return names.prefix(length).split(separator: 0).map { TreePath(bytes: $0 + [0]) }
    }

    /// nil if it is gone, or nobody may read it.
    private static func value(_ name: TreePath, _ file: CInt, _ path: TreePath) throws(RuntimeError) -> [UInt8]? {
        var value = [UInt8](repeating: 0, count: 256)
        var length = linux_attribute(file, name.bytes, &value, value.count)
        if length == -Int(ERANGE) {
            value = [UInt8](repeating: 0, count: most)
            length = linux_attribute(file, name.bytes, &value, value.count)
        }
        if [-Int(ENODATA), -Int(EOPNOTSUPP), -Int(EACCES), -Int(EPERM)].contains(length) { return nil }
        guard length >= 0 else { throw failure(path, CInt(-length)) }
        return Array(value.prefix(length))
    }

    static func failure(_ path: TreePath, _ code: CInt = errno) -> RuntimeError {
        .system(
            action: "copying \(ForeignText.escaped(path.description, limit: 200))",
            reason: String(cString: strerror(code)))
    }
}
