#if canImport(Glibc)
    import Glibc
#endif

/// Why a text or a wire name is not a domain name.
public enum DomainNameError: Error, Hashable, Sendable, CustomStringConvertible {
    case empty
    case emptyLabel
    case labelTooLong(length: Int)
    case nameTooLong(length: Int)
    case forbiddenCharacter(UInt32)
    case hyphenAtLabelEdge
    case looksLikeAddress
    case invalidPunycode
    case notNormalized
    case truncated

    public var description: String {
        switch self {
        case .empty: "the name is empty"
        case .emptyLabel: "it has two dots in a row, or begins with a dot"
        case .labelTooLong(let length): "a label has \(length) bytes; 63 are allowed"
        case .nameTooLong(let length): "the name has \(length) bytes on the wire; 255 are allowed"
        case .forbiddenCharacter(let scalar): "U+\(String(scalar, radix: 16, uppercase: true)) is not allowed in a name"
        case .hyphenAtLabelEdge: "a label starts or ends with a hyphen"
        case .looksLikeAddress: "the name reads as an IP address or a number"
        case .invalidPunycode: "a label starts with xn-- but is not valid Punycode"
        case .notNormalized: "the name has combining characters; write it in its composed form or as xn-- labels"
        case .truncated: "the name ends inside a label"
        }
    }
}

/// A domain name in its one canonical form: A-labels in lower case, as on the wire (RFC 1035, section 3.1; RFC 5891).
///
/// Parsed once, used for matching and for forwarding alike, so that no two parts of the program read a name
/// differently. What does not parse is refused, never passed on.
public struct DomainName: Hashable, Sendable {
    /// The root, which has no labels. Neither text nor wire bytes are parsed to it.
    public static let root = DomainName(canonical: [0])

    /// The wire form: length-prefixed labels and the final zero byte, no compression.
    public private(set) var wire: [UInt8]

    /// Wraps bytes that are known to be canonical.
    init(canonical wire: [UInt8]) { self.wire = wire }

    /// Reads an uncompressed wire name, its final zero byte included and nothing after it.
    ///
    /// Underscores are allowed, as in `_dmarc.example.com`. Any other byte outside letters, digits and hyphens is
    /// refused: NUL, control bytes, spaces, slashes and dots inside a label serve only to mislead a later parser.
    public init(wire bytes: some Collection<UInt8>) throws(DomainNameError) {
        try self.init(wire: Array(bytes))
    }

    /// The same for an array, without copying it.
    public init(wire bytes: [UInt8]) throws(DomainNameError) {
        var memory: [UInt8] = []
        try self.init(wire: bytes, reusing: &memory)
    }

    /// The same, reusing the caller's buffer: no allocation if no earlier name parsed into it is still in use.
    public init(wire bytes: [UInt8], reusing memory: inout [UInt8]) throws(DomainNameError) {
        guard bytes.count <= 255 else { throw .nameTooLong(length: bytes.count) }
        memory.removeAll(keepingCapacity: true)
        memory += bytes
        var position = 0, lastLabel = 0
        while true {
            guard position < bytes.count else { throw .truncated }
            let length = Int(bytes[position])
            if length == 0 { break }
            guard length <= 63 else { throw .labelTooLong(length: length) }
            lastLabel = position
            for index in position + 1..<min(position + 1 + length, bytes.count) {
                let canonical = try Self.canonical(bytes[index])
                if canonical != bytes[index] { memory[index] = canonical }
            }
            position += 1 + length
        }
        guard position + 1 == bytes.count else { throw .truncated }
        guard bytes.count > 1 else { throw .empty }
        guard !Self.isNumber(memory[lastLabel + 1..<position]) else { throw .looksLikeAddress }
        wire = memory
    }

    /// A copy in exactly as much memory as it needs, for long-lived collections.
    public var detached: DomainName { DomainName(canonical: wire.withUnsafeBufferPointer { Array($0) }) }

    /// Becomes another name, in place if its memory is not shared.
    public mutating func copy(_ other: DomainName) {
        wire.removeAll(keepingCapacity: true)
        wire += other.wire
    }

    /// 0 for the root.
    public var labelCount: Int {
        var count = 0, position = 0
        while wire[position] != 0 {
            count += 1
            position += 1 + Int(wire[position])
        }
        return count
    }

    /// The labels, leftmost first.
    public var labels: [ArraySlice<UInt8>] {
        var labels: [ArraySlice<UInt8>] = []
        var position = 0
        while wire[position] != 0 {
            let end = position + 1 + Int(wire[position])
            labels.append(wire[position + 1..<end])
            position = end
        }
        return labels
    }

    /// Whether this name is below `ancestor`, at a label boundary; a name is not below itself.
    public func isSubdomain(of ancestor: DomainName) -> Bool {
        guard wire.count > ancestor.wire.count else { return false }
        var position = 0
        while wire[position] != 0 {
            position += 1 + Int(wire[position])
            if wire.count - position == ancestor.wire.count { return wire[position...].elementsEqual(ancestor.wire) }
        }
        return false
    }

    /// The name without its first label; nil for a single label.
    public var parent: DomainName? {
        let start = 1 + Int(wire[0])
        return start == wire.count || wire[start] == 0 ? nil : DomainName(canonical: Array(wire[start...]))
    }

    static func canonical(_ byte: UInt8) throws(DomainNameError) -> UInt8 {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"),
            UInt8(ascii: "_"):
            return byte
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): return byte | 0x20
        default: throw .forbiddenCharacter(UInt32(byte))
        }
    }

    /// A last label of digits only, or a hexadecimal number, is an address to many parsers (WHATWG URL, section 3.5).
    private static func isNumber(_ label: ArraySlice<UInt8>) -> Bool {
        let isDigit = { (byte: UInt8) in (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
        if label.allSatisfy(isDigit) { return true }
        return label.starts(with: "0x".utf8)
            && label.dropFirst(2).allSatisfy { isDigit($0) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0) }
    }
}

// Hashes and compares the bytes at once; an array would go element by element.
extension DomainName {
    public static func == (left: DomainName, right: DomainName) -> Bool {
        left.wire.withUnsafeBytes { left in
            right.wire.withUnsafeBytes { right in
                left.count == right.count && memcmp(left.baseAddress!, right.baseAddress!, left.count) == 0
            }
        }
    }

    public func hash(into hasher: inout Hasher) { wire.withUnsafeBytes { hasher.combine(bytes: $0) } }
}

extension DomainName: CustomStringConvertible {
    /// The canonical text, without a trailing dot.
    public var description: String {
        labels.map { String(decoding: $0, as: UTF8.self) }.joined(separator: ".")
    }
}
