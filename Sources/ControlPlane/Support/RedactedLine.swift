/// One line of a text without what looks like a secret: what follows names such as `token=`, users, passwords and queries of
/// URLs, and long words that look random.
struct RedactedLine {
    /// Of a longer one nobody sees more: its work would grow with the square of what a user wrote.
    static let longest = 8 << 10

    private let bytes: [UInt8]
    /// The same in small letters.
    private let small: [UInt8]
    private let isCut: Bool
    /// Whether each byte is shown.
    private var isShown: [Bool]

    init(_ line: some Collection<UInt8>) {
        bytes = Array(line.prefix(Self.longest))
        isCut = line.count > Self.longest
        small = bytes.map(Self.small)
        isShown = Array(repeating: true, count: bytes.count)
        hideURLs()
        hideAfterNames()
        hideWords()
    }

    var shown: [UInt8] {
        var result: [UInt8] = []
        for place in bytes.indices {
            if isShown[place] {
                result.append(bytes[place])
            } else if place == 0 || isShown[place - 1] {
                result += Redaction.mark.utf8
            }
        }
        return isCut ? result + Array(" (cut)".utf8) : result
    }

    /// - Parameter word: in small letters.
    static func has(_ word: String, _ line: some Collection<UInt8>) -> Bool {
        let line = line.prefix(longest).map(small)
        return line.indices.contains { line[$0...].starts(with: word.utf8) }
    }

    private static func small(_ byte: UInt8) -> UInt8 { (0x41...0x5a).contains(byte) ? byte | 0x20 : byte }

    private mutating func hide(_ range: Range<Int>) { for place in range { isShown[place] = false } }

    private func has(_ word: StaticString, at place: Int) -> Bool {
        let count = word.utf8CodeUnitCount
        guard small[place] == word.utf8Start.pointee, place + count <= small.count else { return false }
        return small[place..<place + count].elementsEqual(UnsafeBufferPointer(start: word.utf8Start, count: count))
    }

    private func end(from place: Int, _ isPart: (UInt8) -> Bool) -> Int {
        bytes[place...].firstIndex { !isPart($0) } ?? bytes.count
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte <= 0x20 }
    private static func isQuote(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") }

    // MARK: URLs

    /// `scheme://user:password@host/path?query`: all before an at sign, and all after a question mark.
    private mutating func hideURLs() {
        var last = 0
        for place in bytes.indices where place >= last && has("://", at: place) {
            let start = place + 3
            let end = end(from: start) { !Self.isSpace($0) && !Self.isQuote($0) }
            if let at = bytes[start..<end].lastIndex(of: UInt8(ascii: "@")) { hide(start..<at) }
            if let mark = bytes[start..<end].firstIndex(of: UInt8(ascii: "?")) { hide(mark + 1..<end) }
            last = end
        }
    }

    // MARK: names

    private static let names: [StaticString] = [
        "secret", "token", "password", "passwd", "passphrase", "credential", "apikey", "api_key", "api-key",
        "accesskey",
        "access_key", "access-key", "privatekey", "private_key", "private-key", "signature", "dsn", "webhook",
    ]
    /// What follows these is secret to the end of the line, or of the quotes.
    private static let fields: [StaticString] = ["authorization", "cookie", "bearer ", "basic "]

    private mutating func hideAfterNames() {
        // Of many names in one word, all have one value.
        var (field, name) = (0, 0)
        for place in bytes.indices {
            if place >= field, Self.fields.contains(where: { has($0, at: place) }) {
                field = hideField(from: place)
            } else if place >= name, Self.names.contains(where: { has($0, at: place) }) {
                name = hideValue(from: place)
            }
        }
    }

    /// - Returns: the end of what is hidden.
    private mutating func hideField(from place: Int) -> Int {
        var start = end(from: place, Self.isName)
        let isQuoted = start < bytes.count && Self.isQuote(bytes[start])
        if isQuoted { start += 1 }
        start = end(from: start) { Self.isSpace($0) || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: "=") }
        let end = isQuoted ? valueEnd(start, inJSON: true) : end(from: start) { !Self.isQuote($0) }
        hide(start..<end)
        return end
    }

    /// `name=value`, `name: value`, `"name":"value"`, `name='value'`
    /// - Returns: the end of the name.
    private mutating func hideValue(from place: Int) -> Int {
        let nameEnd = end(from: place, Self.isName)
        var start = nameEnd
        let isQuoted = start < bytes.count && Self.isQuote(bytes[start])
        if isQuoted { start += 1 }
        start = end(from: start, Self.isSpace)
        guard start < bytes.count, bytes[start] == UInt8(ascii: "=") || bytes[start] == UInt8(ascii: ":") else {
            return nameEnd
        }
        start = end(from: start + 1, Self.isSpace)
        hide(start..<valueEnd(start, inJSON: isQuoted))
        return nameEnd
    }

    /// Behind a value: its closing quote, where it has one, and otherwise the next space.
    private func valueEnd(_ start: Int, inJSON: Bool) -> Int {
        guard start < bytes.count, Self.isQuote(bytes[start]) else {
            return end(from: start) { !Self.isSpace($0) && !(inJSON && ",}]".utf8.contains($0)) }
        }
        var place = start + 1
        while place < bytes.count, bytes[place] != bytes[start] {
            place += bytes[place] == UInt8(ascii: "\\") ? 2 : 1
        }
        return min(place + 1, bytes.count)
    }

    private static func isName(_ byte: UInt8) -> Bool { isLetter(byte) || isDigit(byte) || "_-.".utf8.contains(byte) }
    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    private static func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7a).contains(small(byte)) }

    // MARK: words

    private mutating func hideWords() {
        hideWords(of: "+_=-") { $0.contains { Self.isLetter($0) } }
        // With slashes and dots they may be parts of a key, or a path, whose letters are mostly of one kind.
        hideWords(of: "+_=-/.") { word in
            word.first != UInt8(ascii: "/") && word.contains { (0x41...0x5a).contains($0) }
                && word.contains { (0x61...0x7a).contains($0) }
        }
    }

    /// Long ones with digits. Ids of sandboxes are what is asked about, and open nothing.
    private mutating func hideWords(of others: String, _ looksRandom: (ArraySlice<UInt8>) -> Bool) {
        var start = 0
        while start < bytes.count {
            let end = end(from: start) { Self.isLetter($0) || Self.isDigit($0) || others.utf8.contains($0) }
            let word = bytes[start..<end]
            if word.count >= 24, word.contains(where: Self.isDigit), looksRandom(word), !Self.isUUID(word) {
                hide(start..<end)
            }
            start = end + 1
        }
    }

    private static func isUUID(_ word: ArraySlice<UInt8>) -> Bool {
        let parts = word.split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        return parts.map(\.count) == [8, 4, 4, 4, 12]
            && parts.joined().allSatisfy { isDigit($0) || (0x61...0x66).contains(small($0)) }
    }
}
