import NetworkPolicy

/// The names of a learned address as the kernel keeps them beside the element: texts with a space between them, which
/// nft(8) lists as a comment. A restarted guard reads them back to judge the address anew.
///
/// Not as on the wire: there the length of a label is a control byte to the terminal of whoever lists the rules, and the
/// sandbox chooses it.
enum LearnedNames {
    /// What `SetElement.userData` holds: what the kernel takes of user data, less its framing.
    static let maximumBytes = 251

    /// The longest-lived names first, as many as fit; ties in one order, so the form is unique.
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

    /// A name's text: its bytes on the wire with dots where lengths are, but for the first and the last.
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

    /// Whether all of them and another one fit.
    static func hasRoom(beside names: [DomainName: UInt64], for name: DomainName) -> Bool {
        names.keys.reduce(size(of: name)) { $0 + size(of: $1) } <= maximumBytes + 1
    }

    /// `nil` when the bytes are anything but whole valid names: then nothing may be concluded from them.
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

    /// With a space: on the wire a name has one length more than its text has dots, and a zero.
    private static func size(of name: DomainName) -> Int { name.wire.count - 1 }
}
