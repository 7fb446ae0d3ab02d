import CLinux
import SafeText
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The unpacked files of an image, before any sandbox uses them. Nobody else changes them meanwhile.
struct ImageTree {
    let root: String

    struct Removed: Hashable {
        var nodes = 0
        var attributes = 0
    }

    /// Removes what an image does not need and what could be dangerous: device nodes, pipes and sockets, attributes
    /// other than users' own (`keeps`), and anything but a folder at a mount point.
    ///
    /// overlayfs interprets some of these: a character device 0:0 hides the file of the same name, and its attributes
    /// lead to other files. Links are kept; symbolic ones are followed only inside the sandbox.
    ///
    /// - Throws: `ImageError.pullFailed` if something can be neither examined nor removed.
    func clean(_ reference: ImageReference) throws(ImageError) -> Removed {
        var removed = Removed()
        // Work through paths, one folder at a time: the image chooses the depth and the number of folders, so a
        // descriptor per level or a path per pending folder could use up descriptors or memory.
        var waiting: [(path: TreePath, names: [TreePath])] = []
        var next: TreePath? = "."
        while let folder = next {
            do throws(TreeError) {
                let names = try clean(folder, &removed)
                if !names.isEmpty { waiting.append((folder, names)) }
            } catch {
                let path = ForeignText.escaped("\(folder)/\(error.name)", limit: 200)
                throw .pullFailed(reference.familiar, reason: "\(path): \(String(cString: strerror(error.code)))")
            }
            next = Self.next(of: &waiting)
        }
        return removed
    }

    private static func next(of waiting: inout [(path: TreePath, names: [TreePath])]) -> TreePath? {
        while let last = waiting.indices.last {
            if let name = waiting[last].names.popLast() { return waiting[last].path + "/" + name }
            waiting.removeLast()
        }
        return nil
    }

    /// OCI runtimes create links in `/dev` by its path on the host. If `/dev` were a link, runc 1.1 would follow it out
    /// of the tree. Missing folders are created.
    private static let mountPoints: Set<TreePath> = ["dev", "proc", "sys"]

    private struct TreeError: Error {
        var name: TreePath = "."
        var code = errno
    }

    /// - Returns: the folders in it.
    private func clean(_ folder: TreePath, _ removed: inout Removed) throws(TreeError) -> [TreePath] {
        let top = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
        guard top >= 0 else { throw TreeError() }
        defer { close(top) }
        let descriptor = linux_open_beneath(top, folder.bytes, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW, 0)
        guard descriptor >= 0 else { throw TreeError(code: -descriptor) }
        defer { close(descriptor) }
        let here: TreePath = "/proc/self/fd/\(descriptor)/"
        removed.attributes += try cleanAttributes(of: here + ".")
        var folders: [TreePath] = []
        let names = try Self.reading { () throws(SystemCallError) in try FolderStream(of: descriptor) }
        while let found = try Self.reading({ () throws(SystemCallError) in try names.read() }) {
            let name = TreePath(found)
            var status = stat()
            guard fstatat(descriptor, name.bytes, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
                throw TreeError(name: name)
            }
            let isMountPoint = folder == "." && Self.mountPoints.contains(name)
            switch status.st_mode & S_IFMT {
            case S_IFDIR: folders.append(name)
            case S_IFREG where !isMountPoint, S_IFLNK where !isMountPoint:
                removed.attributes += try cleanAttributes(of: here + name)
            default:
                guard unlinkat(descriptor, name.bytes, 0) == 0 else { throw TreeError(name: name) }
                removed.nodes += 1
            }
        }
        return folders
    }

    private static func reading<Result>(
        _ body: () throws(SystemCallError) -> Result
    ) throws(TreeError) -> Result {
        do throws(SystemCallError) { return try body() } catch { throw TreeError(code: error.code) }
    }

    // MARK: Extended attributes

    /// Whether an attribute is kept: users' own, access control lists, and file capabilities, which have no effect in a
    /// sandbox (`RootMount`) but which programs copy.
    static func keeps(_ attribute: String) -> Bool {
        attribute == "security.capability" || attribute.hasPrefix("system.posix_acl_")
            || (attribute.hasPrefix("user.") && !attribute.hasPrefix("user.overlay."))
    }

    private func cleanAttributes(of path: TreePath) throws(TreeError) -> Int {
        let size = linux_list_attributes(path.bytes, nil, 0)
        if size == 0 || size == -Int(ENOTSUP) { return 0 }
        guard size > 0 else { throw TreeError(name: path, code: CInt(-size)) }
        var names = [CChar](repeating: 0, count: size)
        let length = linux_list_attributes(path.bytes, &names, names.count)
        guard length >= 0 else { throw TreeError(name: path, code: CInt(-length)) }
        var count = 0
        for attribute in names.prefix(length).split(separator: 0).map({ TreePath(bytes: $0 + [0]) })
        where !Self.keeps(attribute.description) {
            let result = linux_remove_attribute(path.bytes, attribute.bytes)
            if result == 0 {
                count += 1
            } else if !attribute.description.hasPrefix("security.") {
                // Labels of a security module belong to the host and stay.
                throw TreeError(name: path, code: -result)
            }
        }
        return count
    }
}
