import JSON
import NetworkPolicy

/// What was changed of a record since it was written whole: a line for each change. A record of a hundred thousand rules
/// is megabytes; a change of it is a hundred bytes.
///
/// A line is `+`, the mark of the record that it belongs to, `merge` or `remove`, a JSON list, a line feed. It is written
/// with `-` in front, which becomes `+` when the change is in force: a process that ends at any byte leaves whole lines, and
/// at most one that does not count.
enum Journal {
    static let committed = UInt8(ascii: "+")
    private static let staged = UInt8(ascii: "-")
    private static let lineFeed = UInt8(ascii: "\n")

    /// Says which whole record a line belongs to: 16 hexadecimal digits.
    static func mark(using random: inout some RandomNumberGenerator) -> String {
        let digits = String(random.next() as UInt64, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// The line of a change, not in force yet; nil for one that needs the whole record.
    static func line(_ change: PolicyChange, mark: String) -> [UInt8]? {
        let body: [UInt8]
        switch change {
        case .replace: return nil
        case .merge(let rules): body = Array("merge ".utf8) + Policy.encodeRules(rules, .record)
        case .remove(let targets):
            body = Array("remove [\(targets.map { JSONText.quoted("\($0)") }.joined(separator: ","))]".utf8)
        }
        return [staged] + Array(mark.utf8) + Array(" ".utf8) + body + [lineFeed]
    }

    /// The changes in force, in order, and how many bytes they take. What follows them was not acknowledged to anybody.
    /// - Throws: `EgressError.storage` where a line that counts cannot be read.
    static func read(
        _ bytes: [UInt8], mark: String, path: String
    ) throws(EgressError) -> (changes: [PolicyChange], length: Int) {
        var changes: [PolicyChange] = []
        var start = 0
        while start < bytes.count, let end = bytes[start...].firstIndex(of: lineFeed) {
            let parts = bytes[start..<end].dropFirst().split(separator: UInt8(ascii: " "), maxSplits: 2)
            // Lines of an earlier whole record stay until the next change is written over them.
            guard bytes[start] == committed, parts.first?.elementsEqual(mark.utf8) ?? false else { break }
            guard parts.count == 3, let change = change(String(decoding: parts[1], as: UTF8.self), parts[2]) else {
                throw .storage(path: path, reason: "a change in it cannot be read")
            }
            changes.append(change)
            start = end + 1
        }
        return (changes, start)
    }

    private static func change(_ kind: String, _ list: ArraySlice<UInt8>) -> PolicyChange? {
        switch kind {
        case "merge": (try? Policy.decodeRules(json: list, form: .record)).map { .merge($0) }
        case "remove": (try? Policy.decodeTargets(json: list)).map { .remove($0) }
        default: nil
        }
    }
}
