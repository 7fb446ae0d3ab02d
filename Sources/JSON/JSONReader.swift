/// Reads the bytes of a `JSONValue` (RFC 8259, sections 2 to 7). Each byte is looked at a fixed number of times.
struct JSONReader {
    private let bytes: [UInt8]
    private let maxLevels: Int
    private var position = 0

    init(bytes: [UInt8], maxLevels: Int) {
        self.bytes = bytes
        self.maxLevels = maxLevels
    }

    mutating func value(level: Int) throws(JSONError) -> JSONValue {
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return try object(level)
        case UInt8(ascii: "["): return try array(level)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .boolean(true))
        case UInt8(ascii: "f"): return try literal("false", .boolean(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        default: return try number()
        }
    }

    /// Checks that nothing but white space follows.
    mutating func end() throws(JSONError) {
        skipSpace()
        guard position == bytes.count else { throw wrong("something follows its end") }
    }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private func wrong(_ what: String) -> JSONError { JSONError(reason: what, position: position) }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 9 || byte == 10 || byte == 13 { position += 1 }
    }

    private mutating func takes(_ byte: UInt8) -> Bool {
        skipSpace()
        guard next == byte else { return false }
        position += 1
        return true
    }

    private mutating func object(_ level: Int) throws(JSONError) -> JSONValue {
        guard level < maxLevels else { throw wrong("more than \(maxLevels) levels") }
        position += 1
        var object = JSONObject()
        if takes(UInt8(ascii: "}")) { return .object(object) }
        repeat {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw wrong("a name is missing") }
            let name = try string()
            guard takes(UInt8(ascii: ":")) else { throw wrong("a colon is missing") }
            guard object.add(name, try value(level: level + 1)) else {
                throw wrong("\"\(name.prefix(64))\" occurs twice")
            }
        } while takes(UInt8(ascii: ","))
        guard takes(UInt8(ascii: "}")) else { throw wrong("an object has no end") }
        return .object(object)
    }

    private mutating func array(_ level: Int) throws(JSONError) -> JSONValue {
        guard level < maxLevels else { throw wrong("more than \(maxLevels) levels") }
        position += 1
        var entries: [JSONValue] = []
        if takes(UInt8(ascii: "]")) { return .array([]) }
        repeat { entries.append(try value(level: level + 1)) } while takes(UInt8(ascii: ","))
        guard takes(UInt8(ascii: "]")) else { throw wrong("a list has no end") }
        return .array(entries)
    }

    private mutating func literal(_ text: String, _ value: JSONValue) throws(JSONError) -> JSONValue {
        guard bytes[position...].starts(with: text.utf8) else { throw wrong("no value") }
        position += text.utf8.count
        return value
    }

    private mutating func number() throws(JSONError) -> JSONValue {
        let start = position
        var isWhole = true
        if next == UInt8(ascii: "-") { position += 1 }
        let first = next
        let count = digits()
        guard count > 0 else { throw wrong("no value") }
        guard first != UInt8(ascii: "0") || count == 1 else { throw wrong("a number begins with 0") }
        if next == UInt8(ascii: ".") {
            position += 1
            isWhole = false
            guard digits() > 0 else { throw wrong("a number has no end") }
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            position += 1
            isWhole = false
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
            guard digits() > 0 else { throw wrong("a number has no end") }
        }
        guard position - start <= Self.maxNumber else { throw wrong("a number is too long") }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isWhole, let number = Int(text) { return .integer(number) }
        // Parsers disagree on numbers that are too large: some read infinity, others the largest number.
        guard let number = Double(text), number.isFinite else { throw wrong("a number is too large") }
        return .number(number)
    }

    /// Bytes; longer than any number that fits a machine type.
    private static let maxNumber = 1024

    /// - Returns: how many there were.
    private mutating func digits() -> Int {
        let start = position
        while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
        return position - start
    }

    private mutating func string() throws(JSONError) -> String {
        position += 1
        // Fast path: nearly all strings have no escapes.
        let start = position
        while let byte = next, byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") { position += 1 }
        if next == UInt8(ascii: "\"") {
            let string = String(validating: bytes[start..<position], as: UTF8.self)
            position += 1
            guard let string else { throw wrong("a string is not UTF-8") }
            return string
        }
        var text = Array(bytes[start..<position])
        while let byte = next {
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let string = String(validating: text, as: UTF8.self) else { throw wrong("a string is not UTF-8") }
                return string
            case UInt8(ascii: "\\"): text += try escaped()
            case 0..<0x20: throw wrong("a string has a control character")
            default: text.append(byte)
            }
        }
        throw wrong("a string has no end")
    }

    private mutating func escaped() throws(JSONError) -> [UInt8] {
        guard let byte = next else { throw wrong("a string has no end") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
        case UInt8(ascii: "b"): return [8]
        case UInt8(ascii: "f"): return [12]
        case UInt8(ascii: "n"): return [10]
        case UInt8(ascii: "r"): return [13]
        case UInt8(ascii: "t"): return [9]
        case UInt8(ascii: "u"): return Array(String(try character()).utf8)
        default: throw wrong("a string has an unknown escape")
        }
    }

    /// Four hexadecimal digits, or a pair of surrogates.
    private mutating func character() throws(JSONError) -> Character {
        var number = try codeUnit()
        if (0xd800..<0xdc00).contains(number), bytes[position...].starts(with: "\\u".utf8) {
            position += 2
            let low = try codeUnit()
            guard (0xdc00..<0xe000).contains(low) else { throw wrong("a surrogate without its other half") }
            number = 0x10000 + (number - 0xd800) << 10 + (low - 0xdc00)
        }
        guard let scalar = Unicode.Scalar(number) else { throw wrong("a surrogate without its other half") }
        return Character(scalar)
    }

    private mutating func codeUnit() throws(JSONError) -> UInt32 {
        let digits = bytes[position...].prefix(4)
        guard digits.count == 4, digits.allSatisfy(Self.isHexadecimal),
            let number = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
        else { throw wrong("four hexadecimal digits are missing") }
        position += 4
        return number
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
            UInt8(ascii: "A")...UInt8(ascii: "F"):
            true
        default: false
        }
    }
}
