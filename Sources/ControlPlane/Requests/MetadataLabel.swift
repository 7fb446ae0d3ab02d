/// Metadata follows the rules of Kubernetes labels (docs/wire.md#metadata).
enum MetadataLabel {
    static let reservedPrefix = "opensandbox.io/"

    /// The most bytes of all names and values together, since every list shows them and every change stores them.
    private static let maxBytes = 256 << 10

    /// Describes a problem with all entries together; nil if there is none.
    static func problem(_ field: String, size entries: [String: String]) -> String? {
        let size = entries.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
        return size > maxBytes ? "\(field): names and values are \(size) bytes; at most \(maxBytes) are kept" : nil
    }

    /// Describes a problem with an entry; nil if there is none.
    static func problem(key: String, value: String?) -> String? {
        if key.hasPrefix(reservedPrefix) {
            return "metadata key '\(key.prefix(300))' uses the reserved prefix '\(reservedPrefix)'"
        }
        guard isKey(key) else {
            return
                "metadata key '\(key.prefix(300))' is not valid: use [prefix/]name, a name of 1 to 63 letters, digits, "
                + "'-', '_' or '.' that starts and ends with a letter or digit, and a DNS name as prefix"
        }
        guard let value, !isValue(value) else { return nil }
        return "metadata value of '\(key)' is not valid: use at most 63 letters, digits, '-', '_' or '.', starting and "
            + "ending with a letter or digit"
    }

    private static func isKey(_ key: String) -> Bool {
        let parts = key.split(separator: "/", omittingEmptySubsequences: false)
        switch parts.count {
        case 1: return isName(parts[0])
        case 2: return isPrefix(parts[0]) && isName(parts[1])
        default: return false
        }
    }

    private static func isValue(_ value: String) -> Bool { value.isEmpty || isName(value) }

    private static func isName(_ text: some StringProtocol) -> Bool {
        guard (1...63).contains(text.utf8.count), let first = text.utf8.first, let last = text.utf8.reversed().first
        else {
            return false
        }
        return isAlphanumeric(first) && isAlphanumeric(last)
            && text.utf8.allSatisfy { isAlphanumeric($0) || "-_.".utf8.contains($0) }
    }

    /// A DNS name in lower case (RFC 1123).
    private static func isPrefix(_ text: some StringProtocol) -> Bool {
        guard (1...253).contains(text.utf8.count) else { return false }
        return text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            guard let first = label.utf8.first, let last = label.utf8.reversed().first else { return false }
            return isAlphanumeric(first) && isAlphanumeric(last)
                && label.utf8.allSatisfy { (isAlphanumeric($0) && !isUpperCase($0)) || $0 == UInt8(ascii: "-") }
        }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte) || isUpperCase(byte)
    }

    private static func isUpperCase(_ byte: UInt8) -> Bool { (0x41...0x5a).contains(byte) }
}
