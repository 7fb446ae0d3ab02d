import HTTPServer
import Spelling

/// The file that `EXECD_ENVS` names: `NAME=value` lines that clients append and that every command gets
/// (docs/wire.md#the-environment-file). A value without I/O.
///
/// Values are bare, in single quotes (taken as they are), or in double quotes with `\\ \" \n \r \t \$` escapes; both quotes may
/// span lines. `$NAME` is replaced but in single quotes. If a name occurs twice, the last counts. What is malformed is passed
/// over, and what follows it is read: a broken file fails no command.
struct EnvironmentFile {
    private struct Piece {
        var bytes: [UInt8]
        var isLiteral: Bool
    }

    private var rest: ArraySlice<UInt8>
    /// Quotes that are known to have no end: looked for once, so that no file costs more than its length.
    private var unended: Set<UInt8> = []

    /// - Parameter base: what names in values may refer to, besides earlier lines.
    static func parse(_ text: String, over base: [ExactName: String] = [:]) -> [ExactName: String] {
        var file = EnvironmentFile(rest: Array(text.utf8)[...])
        var variables: [ExactName: String] = [:], known = base
        while !file.rest.isEmpty {
            guard let (name, pieces) = file.entry() else { continue }
            let value = pieces.map { piece in
                let text = String(decoding: piece.bytes, as: UTF8.self)
                return piece.isLiteral ? text : VariableReferences.expand(text, known)
            }.joined()
            guard VariableName.isValid(name), !value.utf8.contains(0) else { continue }
            variables[ExactName(name)] = value
            known[ExactName(name)] = value
        }
        return variables
    }

    private init(rest: ArraySlice<UInt8>) { self.rest = rest }

    /// Reads at least a line.
    private mutating func entry() -> (name: String, pieces: [Piece])? {
        let line = rest.prefix { $0 != UInt8(ascii: "\n") }
        var start = line.drop { Self.isBlank($0) }
        if start.starts(with: "export ".utf8) { start = start.dropFirst(7).drop { Self.isBlank($0) } }
        guard start.first != UInt8(ascii: "#"), let sign = start.firstIndex(of: UInt8(ascii: "=")) else {
            skipLine()
            return nil
        }
        let name = String(decoding: start[..<sign], as: UTF8.self)
        rest = rest[(sign + 1)...]
        switch rest.first {
        case UInt8(ascii: "'"): return quoted(UInt8(ascii: "'"), Self.literal).map { (name, $0) }
        case UInt8(ascii: "\""): return quoted(UInt8(ascii: "\""), Self.escaped).map { (name, $0) }
        default:
            var value = rest.prefix { $0 != UInt8(ascii: "\n") }.drop { Self.isBlank($0) }
            while let last = value.last, Self.isBlank(last) { value.removeLast() }
            skipLine()
            return (name, [Piece(bytes: Array(value), isLiteral: false)])
        }
    }

    private mutating func quoted(
        _ quote: UInt8, _ read: (ArraySlice<UInt8>) -> (pieces: [Piece], behind: ArraySlice<UInt8>)?
    ) -> [Piece]? {
        guard !unended.contains(quote), let (pieces, behind) = read(rest.dropFirst()) else {
            unended.insert(quote)
            skipLine()
            return nil
        }
        rest = behind
        let isClean = rest.prefix { $0 != UInt8(ascii: "\n") }.allSatisfy { Self.isBlank($0) }
        skipLine()
        return isClean ? pieces : nil
    }

    private static func literal(_ text: ArraySlice<UInt8>) -> (pieces: [Piece], behind: ArraySlice<UInt8>)? {
        guard let end = text.firstIndex(of: UInt8(ascii: "'")) else { return nil }
        return ([Piece(bytes: Array(text[..<end]), isLiteral: true)], text[(end + 1)...])
    }

    private static func escaped(_ text: ArraySlice<UInt8>) -> (pieces: [Piece], behind: ArraySlice<UInt8>)? {
        var text = text, pieces = [Piece(bytes: [], isLiteral: false)]
        while let byte = text.popFirst() {
            guard byte != UInt8(ascii: "\"") else { return (pieces, text) }
            guard byte == UInt8(ascii: "\\") else {
                pieces[pieces.count - 1].bytes.append(byte)
                continue
            }
            guard let marked = text.popFirst() else { return nil }
            let meant: [UInt8] =
                switch marked {
                case UInt8(ascii: "n"): [UInt8(ascii: "\n")]
                case UInt8(ascii: "r"): [UInt8(ascii: "\r")]
                case UInt8(ascii: "t"): [UInt8(ascii: "\t")]
                case UInt8(ascii: "\\"), UInt8(ascii: "\""), UInt8(ascii: "$"), UInt8(ascii: "`"): [marked]
                default: [byte, marked]
                }
            pieces += [Piece(bytes: meant, isLiteral: true), Piece(bytes: [], isLiteral: false)]
        }
        return nil
    }

    private mutating func skipLine() { rest = rest.drop { $0 != UInt8(ascii: "\n") }.dropFirst() }

    private static func isBlank(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") || byte == UInt8(ascii: "\r")
    }
}
