// The text of addresses. Parsing is strict on purpose: octal, hexadecimal, short and padded forms, zones and ports are
// refused, since another parser on the way may read them as another address (docs/threats.md, E9).

extension IPv4Address: CustomStringConvertible {
    /// Exactly four decimal numbers without leading zeros.
    public init?(_ text: some StringProtocol) {
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.count), part.count == 1 || part.first != UInt8(ascii: "0") else { return nil }
            var octet: UInt32 = 0
            for digit in part {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
                octet = octet * 10 + UInt32(digit - UInt8(ascii: "0"))
            }
            guard octet <= 255 else { return nil }
            value = value << 8 | octet
        }
        self.init(rawValue: value)
    }

    public var description: String { bytes.map(String.init).joined(separator: ".") }
}

extension IPv6Address: CustomStringConvertible {
    /// The forms of RFC 4291, section 2.2, the dotted tail included.
    public init?(_ text: some StringProtocol) {
        let halves = Self.split(String(text))
        guard let halves else { return nil }
        let head = Self.groups(halves.head, mayEndDotted: halves.tail == nil)
        guard let head else { return nil }
        var groups = head
        if let tailText = halves.tail {
            guard let tail = Self.groups(tailText, mayEndDotted: true), head.count + tail.count <= 7 else { return nil }
            groups += [UInt16](repeating: 0, count: 8 - head.count - tail.count) + tail
        }
        guard groups.count == 8 else { return nil }
        self.init(
            high: groups.prefix(4).reduce(0) { $0 << 16 | UInt64($1) },
            low: groups.suffix(4).reduce(0) { $0 << 16 | UInt64($1) })
    }

    /// The canonical text of RFC 5952: lower case, no leading zeros, the longest run of zero groups as `::`.
    public var description: String {
        let groups = (0..<8).map { UInt16(truncatingIfNeeded: ($0 < 4 ? high : low) >> (48 - 16 * ($0 % 4))) }
        var best = 0..<0
        var start = 0
        while start < 8 {
            guard groups[start] == 0 else {
                start += 1
                continue
            }
            var end = start
            while end < 8 && groups[end] == 0 { end += 1 }
            if end - start > best.count && end - start > 1 { best = start..<end }
            start = end
        }
        func join(_ part: ArraySlice<UInt16>) -> String { part.map { String($0, radix: 16) }.joined(separator: ":") }
        return best.isEmpty
            ? join(groups[...]) : join(groups[..<best.lowerBound]) + "::" + join(groups[best.upperBound...])
    }

    /// Splits at the one `::`; nil where there are two.
    private static func split(_ text: String) -> (head: Substring, tail: Substring?)? {
        var position = text.startIndex
        var found: (head: Substring, tail: Substring?)?
        while position < text.endIndex {
            let next = text.index(after: position)
            if text[position] == ":", next < text.endIndex, text[next] == ":" {
                guard found == nil else { return nil }
                found = (text[..<position], text[text.index(after: next)...])
            }
            position = next
        }
        return found ?? (text[...], nil)
    }

    private static func groups(_ text: Substring, mayEndDotted: Bool) -> [UInt16]? {
        guard !text.isEmpty else { return [] }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        var groups: [UInt16] = []
        for (index, part) in parts.enumerated() {
            if index == parts.count - 1, mayEndDotted, part.contains(".") {
                guard let tail = IPv4Address(part) else { return nil }
                groups += [UInt16(tail.rawValue >> 16), UInt16(truncatingIfNeeded: tail.rawValue)]
                continue
            }
            guard (1...4).contains(part.utf8.count), part.utf8.first != UInt8(ascii: "+"),
                part.utf8.first != UInt8(ascii: "-"), let group = UInt16(part, radix: 16)
            else { return nil }
            groups.append(group)
        }
        return groups.count <= 8 ? groups : nil
    }
}

extension IPAddress: CustomStringConvertible {
    public init?(_ text: some StringProtocol) {
        if let address = IPv4Address(text) {
            self = .v4(address)
        } else if let address = IPv6Address(text) {
            self = .v6(address)
        } else {
            return nil
        }
    }

    public var description: String {
        switch self {
        case .v4(let address): address.description
        case .v6(let address): address.description
        }
    }
}
