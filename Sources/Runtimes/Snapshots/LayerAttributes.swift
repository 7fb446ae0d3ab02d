/// Which owners and extended attributes a file has in a layer: those that the sandbox sees, whatever ids its users have on
/// this machine, so that a sandbox with other ids may stand on the layer.
struct LayerAttributes: Hashable, Sendable {
    /// The ids of the sandbox's users on this machine; nil if they are those inside.
    var users: IdentifierRange?

    /// What the kernel shows for an id that a user namespace does not have.
    static let nobody: UInt32 = 65534

    /// overlayfs writes this to a folder that hides the one below. The sandbox can write no attribute that begins with
    /// `trusted.`.
    static let opaque = "trusted.overlay.opaque"

    /// The id inside.
    func inside(_ id: UInt32) -> UInt32 { known(id) ?? Self.nobody }

    private func known(_ id: UInt32) -> UInt32? {
        guard let users else { return id }
        return users.all.contains(id) ? id - users.first : nil
    }

    /// The value of an attribute in the layer; nil if the layer does not have it. As in images, nothing is kept that
    /// overlayfs, security modules or the kernel would obey (`ImageTree.keeps`), but for folders that hide others.
    func kept(_ name: String, _ value: [UInt8], isFolder: Bool) -> [UInt8]? {
        switch name {
        // "x" says that entries may be whiteouts of another kind, which the kernel does not make by itself.
        case Self.opaque: isFolder && value == [UInt8(ascii: "y")] ? value : nil
        case "security.capability": capability(value)
        case _ where name.hasPrefix("system.posix_acl_"): accessList(value)
        default: ImageTree.keeps(name) ? value : nil
        }
    }

    /// A file capability (`struct vfs_cap_data` of linux/capability.h): revision 3 names the root of a user namespace, whom
    /// revision 2 leaves open.
    private func capability(_ value: [UInt8]) -> [UInt8]? {
        guard let magic = Self.number(value, at: 0, bytes: 4) else { return nil }
        switch (magic >> 24, value.count) {
        case (2, 20): return value
        case (3, 24):
            guard let root = Self.number(value, at: 20, bytes: 4), known(root) == 0 else { return nil }
            return Array(value[0..<3]) + [2] + value[4..<20]
        default: return nil
        }
    }

    /// An access list (linux/posix_acl_xattr.h): a version, then entries of tag, rights and id.
    private func accessList(_ value: [UInt8]) -> [UInt8]? {
        guard value.count >= 4, (value.count - 4) % 8 == 0, Self.number(value, at: 0, bytes: 4) == 2 else { return nil }
        var list = value
        for entry in stride(from: 4, to: value.count, by: 8) {
            // Of a user and of a group; others name nobody.
            guard let tag = Self.number(value, at: entry, bytes: 2), tag == 0x02 || tag == 0x08 else { continue }
            guard let id = Self.number(value, at: entry + 4, bytes: 4).flatMap(known) else { return nil }
            for place in 0..<4 { list[entry + 4 + place] = UInt8(truncatingIfNeeded: id >> (8 * place)) }
        }
        return list
    }

    private static func number(_ bytes: [UInt8], at start: Int, bytes count: Int) -> UInt32? {
        guard bytes.count >= start + count else { return nil }
        return bytes[start..<start + count].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
}
