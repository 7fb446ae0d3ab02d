/// A glob on a file's name: `*`, `?`, `[a-z]`, `[!a]` or `[^a]`, and `\` before a character that stands for itself.
struct GlobPattern: Hashable, Sendable {
    private enum Part: Hashable, Sendable {
        case any
        case one
        case character(Character)
        case set([ClosedRange<Character>], negated: Bool)
    }

    private let parts: [Part]

    /// - Throws: `FileError.invalidRequest` if a bracket is not closed or the last character is `\`.
    init(_ text: String) throws(FileError) {
        // The search is recursive anyway, so `**/` adds nothing.
        var rest = Substring(text)
        while rest.hasPrefix("**/") { rest = rest.dropFirst(3) }
        var parts: [Part] = []
        while let character = rest.popFirst() {
            switch character {
            case "*": if parts.last != .any { parts.append(.any) }
            case "?": parts.append(.one)
            case "\\":
                guard let next = rest.popFirst() else { throw .invalidRequest("the pattern ends with \\") }
                parts.append(.character(next))
            case "[": parts.append(try Self.set(&rest))
            default: parts.append(.character(character))
            }
        }
        self.parts = parts
    }

    private static func set(_ rest: inout Substring) throws(FileError) -> Part {
        let negated = rest.first == "!" || rest.first == "^"
        if negated { rest.removeFirst() }
        var ranges: [ClosedRange<Character>] = []
        while let first = rest.popFirst() {
            if first == "]" && !ranges.isEmpty { return .set(ranges, negated: negated) }
            let low = first == "\\" ? rest.popFirst() : first
            guard let low else { break }
            guard rest.first == "-", rest.dropFirst().first != "]" else {
                ranges.append(low...low)
                continue
            }
            rest.removeFirst()
            var high = rest.popFirst()
            if high == "\\" { high = rest.popFirst() }
            guard let high else { break }
            guard low <= high else { throw .invalidRequest("the pattern has a range that is backwards") }
            ranges.append(low...high)
        }
        throw .invalidRequest("the pattern has a [ that is not closed")
    }

    /// Backtracks only to the last `*`, so it takes at most name times pattern steps.
    func matches(_ name: String) -> Bool {
        let name = Array(name)
        var part = 0, character = 0
        var star: (part: Int, character: Int)?
        while character < name.count {
            if part < parts.count, parts[part] == .any {
                star = (part, character)
                part += 1
            } else if part < parts.count, Self.accepts(parts[part], name[character]) {
                part += 1
                character += 1
            } else if let last = star {
                star = (last.part, last.character + 1)
                part = last.part + 1
                character = last.character + 1
            } else {
                return false
            }
        }
        return parts[part...].allSatisfy { $0 == .any }
    }

    private static func accepts(_ part: Part, _ character: Character) -> Bool {
        switch part {
        case .any: false
        case .one: true
        case .character(let wanted): wanted == character
        case .set(let ranges, let negated): ranges.contains { $0.contains(character) } != negated
        }
    }
}
