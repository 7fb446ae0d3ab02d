/// The records of a PAX extended header (POSIX, pax, "pax Extended Header"): `LENGTH KEY=VALUE` and a line break each.
struct PaxRecords: Hashable, Sendable {
    private(set) var values: [String: [UInt8]] = [:]

    init() {}

    /// - Throws: on anything but whole records.
    init(_ bytes: [UInt8]) throws(TarError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let digits = rest.prefix { (0x30...0x39).contains($0) }
            guard !digits.isEmpty, digits.count <= 9, let length = Int(String(decoding: digits, as: UTF8.self)),
                length > digits.count + 3, length <= rest.count, rest[digits.endIndex] == 0x20
            else { throw .field("a PAX record has no length") }
            let record = rest.prefix(length)
            guard record.last == 0x0a else { throw .field("a PAX record has no end") }
            let text = record[(digits.endIndex + 1)..<(record.endIndex - 1)]
            guard let equals = text.firstIndex(of: 0x3d), equals > text.startIndex else {
                throw .field("a PAX record has no name")
            }
            values[String(decoding: text[..<equals], as: UTF8.self)] = Array(text[(equals + 1)...])
            rest = rest.dropFirst(length)
        }
    }

    subscript(key: String) -> [UInt8]? {
        get { values[key] }
        set { values[key] = newValue }
    }

    var isEmpty: Bool { values.isEmpty }

    /// A whole number; a fraction is left out.
    func number(_ key: String) throws(TarError) -> Int64? {
        guard let value = values[key] else { return nil }
        let text = String(decoding: value, as: UTF8.self)
        let whole = key == "mtime" ? text.prefix { $0 != "." } : text[...]
        guard let number = Int64(whole), whole.utf8.first != UInt8(ascii: "+") else {
            throw .field("the PAX record \(key) is not a number")
        }
        return number
    }

    var encoded: [UInt8] {
        values.sorted { $0.key < $1.key }.flatMap { key, value -> [UInt8] in
            let body = [0x20] + Array(key.utf8) + [0x3d] + value + [0x0a]
            // The length counts its own digits.
            var length = body.count + 1
            while String(length).utf8.count + body.count != length { length = String(length).utf8.count + body.count }
            return Array(String(length).utf8) + body
        }
    }
}
