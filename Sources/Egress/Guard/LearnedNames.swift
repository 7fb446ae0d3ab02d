import NetworkPolicy

/// The names of a learned address as the kernel keeps them beside the element: uncompressed wire names, one after
/// the other. A restarted guard reads them back to judge the address anew.
enum LearnedNames {
    /// What `SetElement.userData` holds: what the kernel takes of user data, less its framing.
    static let maximumBytes = 251

    /// The longest-lived names first, as many as fit; ties in the order of the text, so the form is unique.
    static func encode(_ names: [DomainName: UInt64]) -> [UInt8] {
        var bytes: [UInt8] = []
        let ordered = names.sorted {
            $0.value == $1.value ? $0.key.description < $1.key.description : $0.value > $1.value
        }
        for (name, _) in ordered where bytes.count + name.wire.count <= maximumBytes {
            bytes += name.wire
        }
        return bytes
    }

    /// Whether all of them and another one fit.
    static func hasRoom(beside names: [DomainName: UInt64], for name: DomainName) -> Bool {
        names.keys.reduce(name.wire.count) { $0 + $1.wire.count } <= maximumBytes
    }

    /// `nil` when the bytes are anything but whole valid names: then nothing may be concluded from them.
    static func decode(_ bytes: [UInt8]) -> [DomainName]? {
        var names: [DomainName] = []
        var start = 0
        while start < bytes.count {
            var end = start
            while end < bytes.count, bytes[end] != 0 { end += 1 + Int(bytes[end]) }
            guard end < bytes.count, let name = try? DomainName(wire: Array(bytes[start...end])) else { return nil }
            names.append(name)
            start = end + 1
        }
        return names.isEmpty ? nil : names
    }
}
