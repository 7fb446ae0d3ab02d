// The text of addresses. Parsing is strict on purpose: octal, hexadecimal, short and padded forms, zones and ports are
// refused, since another parser on the way may read them as another address (docs/threats.md, E9).

extension IPv4Address: CustomStringConvertible {
    /// Exactly four decimal numbers without leading zeros.
    public init?(_ text: some StringProtocol) {
        var text = String(text)
        guard let address = text.withUTF8(Self.read) else { return nil }
        self = address
    }

    /// Reads each byte once, because the gateway parses its clients' addresses with this.
    fileprivate static func read(_ bytes: UnsafeBufferPointer<UInt8>) -> IPv4Address? {
        guard (7...15).contains(bytes.count) else { return nil }
        var value: UInt32 = 0, octet: UInt32 = 0, digits = 0, dots = 0
        for byte in bytes {
            if byte == UInt8(ascii: ".") {
                guard digits > 0, dots < 3 else { return nil }
                value = value << 8 | octet
                (octet, digits) = (0, 0)
                dots += 1
                continue
            }
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte), digits == 0 || octet > 0 else { return nil }
            octet = octet * 10 + UInt32(byte - UInt8(ascii: "0"))
            digits += 1
            guard octet <= 255 else { return nil }
        }
        guard digits > 0, dots == 3 else { return nil }
        return IPv4Address(rawValue: value << 8 | octet)
    }

    public var description: String { bytes.map(String.init).joined(separator: ".") }
}

extension IPv6Address: CustomStringConvertible {
    /// The forms of RFC 4291, section 2.2, the dotted tail included.
    public init?(_ text: some StringProtocol) {
        var text = String(text)
        guard let address = text.withUTF8(Self.read) else { return nil }
        self = address
    }

    private static func read(_ bytes: UnsafeBufferPointer<UInt8>) -> IPv6Address? {
        guard (2...45).contains(bytes.count) else { return nil }
        let colon = UInt8(ascii: ":")
        var groups = GroupList()
        /// The number of groups before `::`.
        var gap: Int?
        var place = 0
        if bytes[0] == colon {
            guard bytes[1] == colon else { return nil }
            (gap, place) = (0, 2)
        }
        while place < bytes.count {
            let start = place
            var group: UInt16 = 0
            while place < bytes.count, place - start < 4, let digit = hexDigit(bytes[place]) {
                group = group << 4 | digit
                place += 1
            }
            guard place > start else { return nil }
            if place < bytes.count, bytes[place] == UInt8(ascii: ".") {
                guard let tail = IPv4Address.read(UnsafeBufferPointer(rebasing: bytes[start...])) else { return nil }
                guard groups.append(UInt16(tail.rawValue >> 16)),
                    groups.append(UInt16(truncatingIfNeeded: tail.rawValue))
                else { return nil }
                break
            }
            guard groups.append(group) else { return nil }
            if place == bytes.count { break }
            guard bytes[place] == colon, place + 1 < bytes.count else { return nil }
            place += 1
            if bytes[place] == colon {
                guard gap == nil else { return nil }
                gap = groups.count
                place += 1
            }
        }
        return groups.address(gap: gap)
    }

    private static func hexDigit(_ byte: UInt8) -> UInt16? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt16(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt16(byte - UInt8(ascii: "a") + 10)
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt16(byte - UInt8(ascii: "A") + 10)
        default: nil
        }
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
}

/// Up to eight groups of an IPv6 address while it is read.
private struct GroupList {
    private var all: UInt128 = 0
    private(set) var count = 0

    /// - Returns: false if there are eight already.
    mutating func append(_ group: UInt16) -> Bool {
        guard count < 8 else { return false }
        all = all << 16 | UInt128(group)
        count += 1
        return true
    }

    /// - Parameter gap: after how many groups zeros are omitted; nil if none are.
    func address(gap: Int?) -> IPv6Address? {
        guard let gap else { return count == 8 ? IPv6Address(all) : nil }
        guard count < 8 else { return nil }
        let behind = UInt128(16 * (count - gap)), tail = all & ((1 << behind) - 1)
        // Shifting by all 128 bits yields zero.
        return IPv6Address((all >> behind) << UInt128(16 * (8 - gap)) | tail)
    }
}

extension IPv6Address {
    fileprivate init(_ number: UInt128) {
        self.init(high: UInt64(truncatingIfNeeded: number >> 64), low: UInt64(truncatingIfNeeded: number))
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
