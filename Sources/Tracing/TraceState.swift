/// What other tracing systems send along (W3C Trace Context, `tracestate`). It is passed on as it came, or not at all: nothing
/// is added to it here.
package struct TraceState: Hashable, Sendable {
    /// The list's members, commas between them; empty for none.
    package let text: String

    package static let none = TraceState([])

    private static let maxMembers = 32
    /// The specification asks for 512 bytes at least, and lets what is longer be left out.
    private static let maxBytes = 512

    /// - Parameter fields: all of a request, in their order.
    package init(_ fields: [String]) { text = Self.list(of: fields) ?? "" }

    /// - Returns: nil where a member is malformed, or they are too many.
    private static func list(of fields: [String]) -> String? {
        var members: [Substring] = []
        var keys: Set<Substring> = []
        for field in fields {
            guard field.utf8.count <= 4 * maxBytes else { return nil }
            for part in field.split(separator: ",") {
                let member = trimmed(part)
                if member.isEmpty { continue }
                guard let key = key(of: member), keys.insert(key).inserted, members.count < maxMembers else {
                    return nil
                }
                members.append(member)
            }
        }
        let text = members.joined(separator: ",")
        return text.utf8.count <= maxBytes ? text : nil
    }

    private static func trimmed(_ part: Substring) -> Substring {
        var part = part.drop { $0 == " " || $0 == "\t" }
        while part.last == " " || part.last == "\t" { part.removeLast() }
        return part
    }

    /// - Returns: nil where the member is not `key=value`.
    private static func key(of member: Substring) -> Substring? {
        guard let sign = member.utf8.firstIndex(of: UInt8(ascii: "=")) else { return nil }
        let key = member[..<sign], value = member[member.utf8.index(after: sign)...]
        guard (1...256).contains(value.utf8.count),
            value.utf8.allSatisfy({ (0x20...0x7e).contains($0) && $0 != UInt8(ascii: "=") })
        else { return nil }
        let names = key.split(separator: "@", omittingEmptySubsequences: false)
        switch names.count {
        case 1 where isName(key, most: 256, mayBeginWithDigit: false): return key
        case 2 where isName(names[0], most: 241, mayBeginWithDigit: true) && isName(names[1], most: 14): return key
        default: return nil
        }
    }

    private static func isName(_ name: Substring, most: Int, mayBeginWithDigit: Bool = false) -> Bool {
        guard (1...most).contains(name.utf8.count), let first = name.utf8.first else { return false }
        let letters = UInt8(ascii: "a")...UInt8(ascii: "z"), numerals = UInt8(ascii: "0")...UInt8(ascii: "9")
        guard letters.contains(first) || mayBeginWithDigit && numerals.contains(first) else { return false }
        return name.utf8.allSatisfy { letters.contains($0) || numerals.contains($0) || "_-*/".utf8.contains($0) }
    }
}
