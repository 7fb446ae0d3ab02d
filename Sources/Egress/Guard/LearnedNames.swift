import NetworkPolicy

/// The names of a learned address as the kernel keeps them beside the element: texts with a space between them, which
/// nft(8) lists as a comment. A restarted guard reads them back to judge the address anew.
///
/// Not in wire form: label lengths, which the sandbox chooses, would be control bytes for the terminal of whoever lists
/// the rules.
enum LearnedNames {
    /// The size limit of `SetElement.userData`: the kernel's limit less the framing.
    static let maximumBytes = 251

    /// Encodes as many names as fit, those that expire last first. Ties are ordered by name, so the encoding is unique.
    static func encode(_ names: [DomainName: UInt64]) -> [UInt8] {
        var bytes: [UInt8] = []
        let ordered = names.sorted {
            $0.value == $1.value ? $0.key.description < $1.key.description : $0.value > $1.value
        }
        for (name, _) in ordered where bytes.count + size(of: name) <= maximumBytes + (bytes.isEmpty ? 1 : 0) {
            if !bytes.isEmpty { bytes.append(space) }
            append(name.wire, to: &bytes)
        }
        return bytes
    }

    /// Appends a name's text: its wire bytes with dots in place of the inner lengths.
    private static func append(_ wire: [UInt8], to bytes: inout [UInt8]) {
        guard wire.count > 1 else { return }
        let start = bytes.count
        bytes += wire[1..<wire.count - 1]
        var next = Int(wire[0])
        while next < wire.count - 2 {
            bytes[start + next] = dot
            next += 1 + Int(wire[next + 1])
        }
    }

    /// Whether all names and another one fit.
    static func hasRoom(beside names: [DomainName: UInt64], for name: DomainName) -> Bool {
        names.keys.reduce(size(of: name)) { $0 + size(of: $1) } <= maximumBytes + 1
    }

    /// `nil` if the bytes are not a list of complete, valid names.
    static func decode(_ bytes: [UInt8]) -> [DomainName]? {
        var names: [DomainName] = []
        for text in bytes.split(separator: space, omittingEmptySubsequences: false) {
            var wire: [UInt8] = []
            for label in text.split(separator: dot, omittingEmptySubsequences: false) {
                guard (1...63).contains(label.count) else { return nil }
                wire.append(UInt8(label.count))
                wire += label
            }
            guard let name = try? DomainName(wire: wire + [0]) else { return nil }
            names.append(name)
        }
        return names
    }

    private static let space = UInt8(ascii: " "), dot = UInt8(ascii: ".")

    /// The size of the text and a space: the wire form has one length byte more than the text has dots, and a final
    /// zero.
    private static func size(of name: DomainName) -> Int { name.wire.count - 1 }
}
