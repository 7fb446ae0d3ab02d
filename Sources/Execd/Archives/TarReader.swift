/// Reads a tar archive as it comes. A value without I/O; it keeps no more than headers.
///
/// It takes POSIX ustar and PAX archives and GNU's long names. What two readers could take for different things is refused.
struct TarReader: Sendable {
    enum Event: Hashable, Sendable {
        case entry(TarEntry)
        /// Content of the last entry.
        case bytes(ArraySlice<UInt8>)
        case entryEnded
    }

    private enum Extension: Sendable {
        case pax, global, longName, longLink
    }

    private enum Phase: Sendable {
        case header
        /// Bytes that are left, and those up to the next block.
        case content(Int64, padding: Int)
        case more(Extension, Int, padding: Int)
        case ended
    }

    /// The longest name or target of a link, in bytes (PATH_MAX).
    static let maxName = 4096
    /// The longest records of one entry, in bytes.
    static let maxRecords = 1 << 20

    private var phase = Phase.header
    /// Of a block or an extension that has not come whole.
    private var pending: [UInt8] = []
    private var zeroBlocks = 0
    private var records = PaxRecords()
    private var global = PaxRecords()
    private var longName: [UInt8]?
    private var longLink: [UInt8]?

    mutating func push(_ bytes: [UInt8]) throws(TarError) -> [Event] {
        var events: [Event] = []
        var rest = bytes[...]
        while true {
            switch phase {
            case .ended: return events
            case .header:
                guard let block = collect(TarBlock.size, &rest) else { return events }
                try readHeader(block, &events)
            case .content(let left, let padding):
                if left > 0 {
                    guard !rest.isEmpty else { return events }
                    let piece = rest.prefix(Int(min(left, Int64(rest.count))))
                    events.append(.bytes(piece))
                    rest = rest.dropFirst(piece.count)
                    phase = .content(left - Int64(piece.count), padding: padding)
                } else {
                    guard collect(padding, &rest) != nil else { return events }
                    events.append(.entryEnded)
                    phase = .header
                }
            case .more(let kind, let length, let padding):
                guard let whole = collect(length + padding, &rest) else { return events }
                try readExtension(kind, Array(whole.prefix(length)))
                phase = .header
            }
        }
    }

    /// - Throws: `truncated` if the end of the archive has not come.
    func finish() throws(TarError) {
        guard case .ended = phase else { throw .truncated }
    }

    /// So many bytes, when they have come.
    private mutating func collect(_ count: Int, _ rest: inout ArraySlice<UInt8>) -> [UInt8]? {
        let piece = rest.prefix(count - pending.count)
        pending += piece
        rest = rest.dropFirst(piece.count)
        guard pending.count == count else { return nil }
        defer { pending = [] }
        return pending
    }

    private mutating func readHeader(_ block: [UInt8], _ events: inout [Event]) throws(TarError) {
        guard block.contains(where: { $0 != 0 }) else {
            zeroBlocks += 1
            if zeroBlocks == 2 { phase = .ended }
            return
        }
        guard zeroBlocks == 0 else { throw .field("a header after a block of zeros") }
        let header = try TarHeader(block)
        let kind: Extension? =
            switch header.type {
            case UInt8(ascii: "x"): .pax
            case UInt8(ascii: "g"): .global
            case UInt8(ascii: "L"): .longName
            case UInt8(ascii: "K"): .longLink
            default: nil
            }
        if let kind {
            guard header.size <= Int64(Self.maxRecords) else { throw .tooLong("a header of the archive") }
            phase = .more(kind, Int(header.size), padding: TarBlock.padding(behind: header.size))
            return
        }
        let entry = try entry(header)
        (records, longName, longLink) = (PaxRecords(), nil, nil)
        events.append(.entry(entry))
        phase = .content(entry.size, padding: TarBlock.padding(behind: entry.size))
    }

    private mutating func readExtension(_ kind: Extension, _ bytes: [UInt8]) throws(TarError) {
        switch kind {
        case .pax: records = try PaxRecords(bytes)
        case .global:
            global = try PaxRecords(bytes)
            guard ["path", "linkpath", "size"].allSatisfy({ global[$0] == nil }) else {
                throw .field("one name or size for all entries")
            }
        case .longName: longName = Array(bytes.prefix { $0 != 0 })
        case .longLink: longLink = Array(bytes.prefix { $0 != 0 })
        }
    }

    private func entry(_ header: TarHeader) throws(TarError) -> TarEntry {
        let name = try Self.text(records["path"] ?? longName ?? header.name, "a name")
        let sparse = records.values.keys.contains { $0.hasPrefix("GNU.sparse.") }
        guard !sparse else { throw .kind(name, UInt8(ascii: "S")) }
        func number(_ key: String, _ other: Int64) throws(TarError) -> Int64 {
            if let number = try records.number(key) { return number }
            return try global.number(key) ?? other
        }
        var entry = TarEntry(name: name, kind: .file)
        entry.mode = UInt32(truncatingIfNeeded: header.mode) & 0o7777
        entry.user = try Self.identity(try number("uid", header.user))
        entry.group = try Self.identity(try number("gid", header.group))
        entry.modified = try number("mtime", header.modified)
        entry.size = try records.number("size") ?? header.size
        guard entry.size >= 0, entry.size <= Int64.max - Int64(TarBlock.size) else {
            throw .field("an impossible size")
        }
        switch header.type {
        case UInt8(ascii: "0"), 0, UInt8(ascii: "7"):
            // Before POSIX a folder was a file whose name ends so.
            if name.utf8.last == FilePath.slash { entry.kind = .folder }
        case UInt8(ascii: "5"): entry.kind = .folder
        case UInt8(ascii: "1"): entry.kind = .hardLink(try link(header))
        case UInt8(ascii: "2"): entry.kind = .symbolicLink(try link(header))
        default: throw .kind(name, header.type)
        }
        // Some readers skip what a folder or a link says to have, some do not.
        guard entry.kind == .file || entry.size == 0 else { throw .field("\(name) has content, and is not a file") }
        return entry
    }

    private func link(_ header: TarHeader) throws(TarError) -> String {
        try Self.text(records["linkpath"] ?? longLink ?? header.linkName, "a link")
    }

    private static func identity(_ number: Int64) throws(TarError) -> UInt32 {
        guard let number = UInt32(exactly: number), number != .max else { throw .field("an impossible owner") }
        return number
    }

    private static func text(_ bytes: [UInt8], _ what: String) throws(TarError) -> String {
        guard bytes.count <= maxName else { throw .tooLong(what) }
        guard let text = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
            throw .field("\(what) is not UTF-8, or has a NUL byte")
        }
        return text
    }
}
