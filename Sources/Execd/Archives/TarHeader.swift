/// A header block: POSIX ustar, and what GNU's and older programs write. A value without I/O.
struct TarHeader: Hashable, Sendable {
    var name: [UInt8]
    var mode: Int64
    var user: Int64
    var group: Int64
    var size: Int64
    var modified: Int64
    var type: UInt8
    var linkName: [UInt8]

    /// Where a field stands.
    private enum Field {
        static let name = 0..<100, mode = 100..<108, user = 108..<116, group = 116..<124, size = 124..<136
        static let modified = 136..<148, checksum = 148..<156, linkName = 157..<257, magic = 257..<265
        static let prefix = 345..<500
        static let type = 156
    }

    private static let posix = Array("ustar\u{0}00".utf8)

    // MARK: Reading

    /// - Parameter block: 512 bytes, not all of them zero.
    init(_ block: [UInt8]) throws(TarError) {
        precondition(block.count == TarBlock.size)
        guard let checksum = Self.number(block[Field.checksum]), Self.sums(block).contains(checksum) else {
            throw .notAnArchive
        }
        func number(_ field: Range<Int>, _ what: String) throws(TarError) -> Int64 {
            guard let number = Self.number(block[field]) else { throw .field("\(what) is not a number") }
            return number
        }
        func text(_ field: Range<Int>) -> [UInt8] { Array(block[field].prefix { $0 != 0 }) }
        name = text(Field.name)
        // In GNU's format other things stand there.
        if block[Field.magic].prefix(6).elementsEqual(Self.posix.prefix(6)) {
            let prefix = text(Field.prefix)
            if !prefix.isEmpty { name = prefix + [UInt8(ascii: "/")] + name }
        }
        mode = try number(Field.mode, "a mode")
        user = try number(Field.user, "a user")
        group = try number(Field.group, "a group")
        size = try number(Field.size, "a size")
        modified = try number(Field.modified, "a time")
        guard size >= 0 else { throw .field("a size is negative") }
        type = block[Field.type]
        linkName = text(Field.linkName)
    }

    /// Octal digits with blanks and zeros around them, or, with the highest bit, two's complement (GNU). Nothing is 0.
    static func number(_ field: ArraySlice<UInt8>) -> Int64? {
        guard let first = field.first else { return nil }
        if first & 0x80 != 0 {
            // The sign is the second highest bit.
            var value: Int64 = first & 0x40 == 0 ? 0 : -1
            for (index, byte) in field.enumerated() {
                let digit = Int64(index == 0 ? (byte & 0x7f) | (byte & 0x40) << 1 : byte)
                if index == 0 {
                    value = first & 0x40 == 0 ? digit : digit - 256
                } else {
                    let (shifted, overflow) = value.multipliedReportingOverflow(by: 256)
                    guard !overflow else { return nil }
                    value = shifted + digit
                }
            }
            return value
        }
        let text = field.drop { $0 == 0x20 }.prefix { $0 != 0x20 && $0 != 0 }
        guard field.dropFirst(text.endIndex - field.startIndex).allSatisfy({ $0 == 0x20 || $0 == 0 }) else {
            return nil
        }
        var value: Int64 = 0
        for byte in text {
            guard (0x30...0x37).contains(byte), value <= Int64.max >> 3 else { return nil }
            value = value << 3 | Int64(byte - 0x30)
        }
        return value
    }

    /// The sum of all bytes, its own field taken as blanks; old programs added them as signed numbers.
    private static func sums(_ block: [UInt8]) -> [Int64] {
        var plain: Int64 = 0, signed: Int64 = 0
        for (index, byte) in block.enumerated() {
            let byte = Field.checksum.contains(index) ? 0x20 : byte
            plain += Int64(byte)
            signed += Int64(Int8(bitPattern: byte))
        }
        return [plain, signed]
    }

    // MARK: Writing

    init(
        name: [UInt8], mode: Int64, user: Int64, group: Int64, size: Int64, modified: Int64, type: UInt8,
        linkName: [UInt8] = []
    ) {
        (self.name, self.mode, self.user, self.group) = (name, mode, user, group)
        (self.size, self.modified, self.type, self.linkName) = (size, modified, type, linkName)
    }

    static func fits(_ value: Int64, digits: Int) -> Bool { value >= 0 && value < Int64(1) << (3 * Int64(digits)) }
    static func fits(link: [UInt8]) -> Bool { link.count <= Field.linkName.count }

    /// The name in two parts, at a slash; nil if it does not fit.
    static func split(_ name: [UInt8]) -> (prefix: ArraySlice<UInt8>, name: ArraySlice<UInt8>)? {
        if name.count <= Field.name.count { return ([], name[...]) }
        // As much as possible into the first part, and something has to be left.
        let end = min(Field.prefix.count, name.count - 2)
        guard end >= 1, let slash = name[1...end].lastIndex(of: UInt8(ascii: "/")),
            name.count - slash - 1 <= Field.name.count
        else { return nil }
        return (name[..<slash], name[(slash + 1)...])
    }

    /// The block. What does not fit must stand in PAX records, and is cut or 0 here.
    var block: [UInt8] {
        var block = [UInt8](repeating: 0, count: TarBlock.size)
        func put(_ bytes: some Sequence<UInt8>, _ field: Range<Int>) {
            for (index, byte) in zip(field, bytes) { block[index] = byte }
        }
        func put(_ number: Int64, _ field: Range<Int>) {
            let digits = field.count - 1
            let text = String(Self.fits(number, digits: digits) ? number : 0, radix: 8)
            put((String(repeating: "0", count: digits - text.utf8.count) + text).utf8, field)
        }
        let (prefix, base) = Self.split(name) ?? ([], name.prefix(Field.name.count))
        put(base, Field.name)
        put(prefix, Field.prefix)
        put(mode, Field.mode)
        put(user, Field.user)
        put(group, Field.group)
        put(size, Field.size)
        put(modified, Field.modified)
        put(linkName, Field.linkName)
        put(Self.posix, Field.magic)
        block[Field.type] = type
        put([UInt8](repeating: 0x20, count: 8), Field.checksum)
        let sum = String(block.reduce(0) { $0 + Int($1) }, radix: 8)
        put((String(repeating: "0", count: 6 - sum.utf8.count) + sum + "\u{0} ").utf8, Field.checksum)
        return block
    }
}
