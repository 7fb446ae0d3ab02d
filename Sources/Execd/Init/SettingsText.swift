/// A file of settings in the part of TOML 1.0 that execd's need: tables of one name, some of which may stand more than once, and under bare
/// keys texts of one line, whole decimal numbers, booleans and arrays of these. Anything else is refused, never passed over. A value without I/O.
struct SettingsText: Hashable, Sendable {
    enum Value: Hashable, Sendable {
        case text(String)
        case number(Int64)
        case boolean(Bool)
        case list([Value])
    }

    /// Why it was refused.
    struct Problem: Error, Hashable, Sendable, CustomStringConvertible {
        let line: Int
        let reason: String

        var description: String { "line \(line): \(reason)" }
    }

    /// By the names of tables; what stands before the first is in the table without a name.
    private(set) var tables: [String: [String: Value]] = ["": [:]]
    /// Those that may stand more than once, `[[name]]`, in their order.
    private(set) var repeated: [String: [[String: Value]]] = [:]

    private static let maxBytes = 1 << 20

    /// - Parameter many: the names of tables that may stand more than once.
    init(_ bytes: [UInt8], many: Set<String> = []) throws(Problem) {
        guard bytes.count <= Self.maxBytes, String(validating: bytes, as: UTF8.self) != nil else {
            throw Problem(line: 1, reason: "this is not UTF-8 of \(Self.maxBytes) bytes at most")
        }
        var reader = Reader(bytes: bytes)
        var table = ""
        // Of a table that may stand more than once.
        var place: Int?
        while try reader.goToNextEntry() {
            if reader.take("[") {
                let isRepeated = reader.take("[")
                table = try reader.key()
                guard reader.take("]"), !isRepeated || reader.take("]"), many.contains(table) == isRepeated else {
                    throw reader.problem(
                        many.contains(table) ? "this table is [[\(table)]]" : "a table must be written [name]")
                }
                // A value before the first table may have the name, too.
                guard tables[table] == nil, tables[""]?[table] == nil else {
                    throw reader.problem("\(table) is here twice")
                }
                if isRepeated {
                    place = repeated[table]?.count ?? 0
                    repeated[table, default: []].append([:])
                } else {
                    place = nil
                    tables[table] = [:]
                }
            } else {
                let key = try reader.key()
                reader.skipBlanks()
                guard reader.take("=") else { throw reader.problem("= is missing after \(key)") }
                reader.skipBlanks()
                let value = try reader.value()
                let earlier: Value? =
                    if let place {
                        repeated[table]?[place].updateValue(value, forKey: key)
                    } else {
                        tables[table]?.updateValue(value, forKey: key)
                    }
                guard earlier == nil else {
                    throw reader.problem("\(key) is here twice")
                }
            }
            try reader.endLine()
        }
    }

    private struct Reader {
        let bytes: [UInt8]
        var index = 0
        var line = 1

        init(bytes: [UInt8]) { self.bytes = bytes }

        var next: UInt8? { index < bytes.count ? bytes[index] : nil }

        func problem(_ reason: String) -> Problem { Problem(line: line, reason: reason) }

        mutating func take(_ character: Unicode.Scalar) -> Bool {
            guard next == UInt8(ascii: character) else { return false }
            index += 1
            return true
        }

        mutating func skipBlanks() { while next == 0x20 || next == 0x09 { index += 1 } }

        /// Blanks, and a comment, up to the end of the line.
        mutating func endLine() throws(Problem) {
            skipBlanks()
            if take("#") { while let byte = next, byte != 0x0a { index += 1 } }
            if next == 0x0d, index + 1 < bytes.count, bytes[index + 1] == 0x0a { index += 1 }
            guard next != nil else { return }
            guard take("\n") else { throw problem("nothing may follow a value but a comment") }
            line += 1
        }

        /// - Returns: false at the end.
        mutating func goToNextEntry() throws(Problem) -> Bool {
            while true {
                skipBlanks()
                guard let byte = next else { return false }
                guard byte == UInt8(ascii: "#") || byte == 0x0a || byte == 0x0d else { return true }
                try endLine()
            }
        }

        mutating func key() throws(Problem) -> String {
            skipBlanks()
            let start = index
            while let byte = next, Self.isOfKey(byte) { index += 1 }
            guard start < index else { throw problem("a name of letters, digits, _ and - is missing") }
            defer { skipBlanks() }
            return String(decoding: bytes[start..<index], as: UTF8.self)
        }

        private static func isOfKey(_ byte: UInt8) -> Bool {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "-"),
                UInt8(ascii: "_"):
                true
            default: isDigit(byte)
            }
        }

        private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

        // MARK: values

        mutating func value() throws(Problem) -> Value {
            if take("[") { return .list(try list()) }
            return try single()
        }

        /// Behind its bracket. Arrays of arrays are nobody's here, so that nothing is nested.
        private mutating func list() throws(Problem) -> [Value] {
            var values: [Value] = []
            while true {
                guard try goToNextEntry() else { throw problem("an array has no end") }
                if take("]") { return values }
                values.append(try single())
                guard try goToNextEntry() else { throw problem("an array has no end") }
                if take("]") { return values }
                guard take(",") else { throw problem("a comma is missing in an array") }
            }
        }

        private mutating func single() throws(Problem) -> Value {
            if take("\"") { return .text(try text(endsWith: "\"", escapes: true)) }
            if take("'") { return .text(try text(endsWith: "'", escapes: false)) }
            let start = index
            while let byte = next, Self.isOfKey(byte) || byte == UInt8(ascii: "+") { index += 1 }
            switch String(decoding: bytes[start..<index], as: UTF8.self) {
            case "true": return .boolean(true)
            case "false": return .boolean(false)
            case let word:
                guard let number = Self.number(word) else {
                    throw problem("a value is a string in quotes, a whole number, true, false, or an array of these")
                }
                return .number(number)
            }
        }

        /// `1_000`: an underscore has a digit on each side, and nothing but 0 begins with one.
        private static func number(_ word: String) -> Int64? {
            let parts = word.drop { $0 == "+" || $0 == "-" }.split(separator: "_", omittingEmptySubsequences: false)
            let digits = parts.joined()
            let sign = word.utf8.count - digits.utf8.count - parts.count + 1
            guard sign <= 1, parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy(isDigit) }),
                digits == "0" || digits.first != "0"
            else { return nil }
            return Int64((word.first == "-" ? "-" : "") + digits)
        }

        private mutating func text(endsWith quote: Unicode.Scalar, escapes: Bool) throws(Problem) -> String {
            var found: [UInt8] = []
            while let byte = next {
                index += 1
                switch byte {
                case UInt8(ascii: quote): return String(decoding: found, as: UTF8.self)
                case UInt8(ascii: "\\") where escapes: found += try escaped().utf8
                case 0x09, 0x20..<0x7f, 0x80...: found.append(byte)
                default:
                    throw problem("a string ends with its line: a quote is missing, or a control character is there")
                }
            }
            throw problem("a quote is missing")
        }

        private mutating func escaped() throws(Problem) -> String {
            guard let byte = next else { throw problem("a quote is missing") }
            index += 1
            switch byte {
            case UInt8(ascii: "\""): return "\""
            case UInt8(ascii: "\\"): return "\\"
            case UInt8(ascii: "t"): return "\t"
            case UInt8(ascii: "n"): return "\n"
            case UInt8(ascii: "u"), UInt8(ascii: "U"):
                let count = byte == UInt8(ascii: "u") ? 4 : 8
                let digits = bytes[index...].prefix(count)
                guard digits.count == count,
                    digits.allSatisfy({ Self.isDigit($0) || (0x41...0x46).contains($0 & 0xdf) }),
                    let number = UInt32(String(decoding: digits, as: UTF8.self), radix: 16),
                    let scalar = Unicode.Scalar(number)
                else { throw problem("no such character") }
                index += count
                return String(Character(scalar))
            default: throw problem("no such escape")
            }
        }
    }
}
