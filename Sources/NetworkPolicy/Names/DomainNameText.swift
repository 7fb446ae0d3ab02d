import Addresses

extension DomainName {
    /// Reads a name as a person writes it: any case, Unicode labels, one trailing dot.
    ///
    /// Unicode labels become A-labels (RFC 5890 to 5892): lower case, then Punycode. Text with combining marks that
    /// could be composed is refused rather than normalised, so that a rule never means another name than it shows.
    /// - Throws: `DomainNameError` for what is not a host name: addresses, ports, empty or overlong labels.
    public init(_ text: String) throws(DomainNameError) {
        var text = Substring(text)
        // The three other full stops of RFC 3490, section 3.1, would otherwise be read as part of a label.
        if text.hasSuffix(".") { text = text.dropLast() }
        guard !text.isEmpty else { throw .empty }
        guard IPAddress(text) == nil else { throw .looksLikeAddress }
        var wire: [UInt8] = []
        for label in text.split(separator: ".", omittingEmptySubsequences: false) {
            let ascii = try Self.asciiLabel(label)
            guard !ascii.isEmpty else { throw .emptyLabel }
            guard ascii.count <= 63 else { throw .labelTooLong(length: ascii.count) }
            guard ascii.first != UInt8(ascii: "-"), ascii.last != UInt8(ascii: "-") else { throw .hyphenAtLabelEdge }
            wire.append(UInt8(ascii.count))
            wire += ascii
        }
        wire.append(0)
        try self.init(wire: wire)
    }

    private static func asciiLabel(_ label: Substring) throws(DomainNameError) -> [UInt8] {
        if label.utf8.allSatisfy({ $0 < 0x80 }) {
            var ascii: [UInt8] = []
            for byte in label.utf8 { ascii.append(try canonical(byte)) }
            guard ascii.starts(with: "xn--".utf8) else { return ascii }
            let encoded = Array(ascii.dropFirst(4))
            guard let scalars = Punycode.decode(encoded), scalars.contains(where: { !$0.isASCII }),
                Punycode.encode(scalars) == encoded
            else { throw .invalidPunycode }
            try check(scalars)
            return ascii
        }
        let scalars = Array(String(label).lowercased().unicodeScalars)
        guard !scalars.starts(with: "xn--".unicodeScalars) else { throw .invalidPunycode }
        try check(scalars)
        guard let encoded = Punycode.encode(scalars) else { throw .labelTooLong(length: label.utf8.count) }
        return Array("xn--".utf8) + encoded
    }

    /// Allows letters, digits and hyphens of any script, in case-folded form.
    private static func check(_ scalars: [Unicode.Scalar]) throws(DomainNameError) {
        for scalar in scalars {
            let properties = scalar.properties
            if scalar.isASCII {
                _ = try canonical(UInt8(scalar.value))
            } else if isMark(scalar) {
                throw .notNormalized
            } else if !(properties.isAlphabetic || properties.numericType != nil || scalar == "\u{B7}")
                || properties.changesWhenNFKCCaseFolded
            {
                // Compatibility forms (fullwidth letters, ligatures) look like other letters: refuse them.
                throw .forbiddenCharacter(scalar.value)
            }
        }
    }

    private static func isMark(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark: true
        default: false
        }
    }
}
