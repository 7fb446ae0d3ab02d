/// Writes entries of a tar archive: POSIX ustar, with PAX records for what does not fit (pax, POSIX).
enum TarWriter {
    /// The header of an entry, whose content follows it with `TarBlock.padding`.
    static func header(_ entry: TarEntry) -> [UInt8] {
        switch entry.kind {
        case .file, .folder: header(entry, name: Array(entry.name.utf8))
        case .symbolicLink(let target), .hardLink(let target):
            header(entry, name: Array(entry.name.utf8), target: Array(target.utf8))
        }
    }

    /// The same with a name, and what a link names, that need not be UTF-8, in the place of those of the entry.
    static func header(_ entry: TarEntry, name: [UInt8], target: [UInt8] = []) -> [UInt8] {
        var records = PaxRecords()
        var header = TarHeader(
            name: name, mode: Int64(entry.mode), user: Int64(entry.user), group: Int64(entry.group), size: entry.size,
            modified: entry.modified, type: UInt8(ascii: "0"))
        switch entry.kind {
        case .file: break
        case .folder: header.type = UInt8(ascii: "5")
        case .symbolicLink: (header.type, header.linkName) = (UInt8(ascii: "2"), target)
        case .hardLink: (header.type, header.linkName) = (UInt8(ascii: "1"), target)
        }
        if TarHeader.split(name) == nil { records["path"] = name }
        if !TarHeader.fits(link: header.linkName) { records["linkpath"] = header.linkName }
        if !TarHeader.fits(entry.size, digits: 11) { records["size"] = Array(String(entry.size).utf8) }
        if !TarHeader.fits(entry.modified, digits: 11) { records["mtime"] = Array(String(entry.modified).utf8) }
        if !TarHeader.fits(Int64(entry.user), digits: 7) { records["uid"] = Array(String(entry.user).utf8) }
        if !TarHeader.fits(Int64(entry.group), digits: 7) { records["gid"] = Array(String(entry.group).utf8) }
        return (records.isEmpty ? [] : extended(records)) + header.block
    }

    private static func extended(_ records: PaxRecords) -> [UInt8] {
        let bytes = records.encoded
        let header = TarHeader(
            name: Array("PaxHeaders/entry".utf8), mode: 0o644, user: 0, group: 0, size: Int64(bytes.count), modified: 0,
            type: UInt8(ascii: "x"))
        return header.block + bytes + [UInt8](repeating: 0, count: TarBlock.padding(behind: Int64(bytes.count)))
    }
}
