import JSON
import NetworkPolicy

/// The changes of a record since it was last written in full, one line each. A record of a hundred thousand rules is
/// megabytes long, a change of it a hundred bytes.
///
/// A line is `+`, the mark of its record, `merge` or `remove`, a JSON list and a line feed. It is first written with
/// `-`, which is overwritten with `+` when the change takes effect. So a process that ends at any point leaves complete
/// lines and at most one that does not count.
enum Journal {
    static let committed = UInt8(ascii: "+")
    private static let staged = UInt8(ascii: "-")
    private static let lineFeed = UInt8(ascii: "\n")

    /// Identifies the full record that a line belongs to: 16 hexadecimal digits.
    static func mark(using random: inout some RandomNumberGenerator) -> String {
        let digits = String(random.next() as UInt64, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// The line for a change, not in force yet; nil for a change that needs a full record.
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

    /// The changes in force, in order, and their length in bytes. What follows was never acknowledged.
    /// - Throws: `EgressError.storage` if a line in force cannot be read.
    static func read(
        _ bytes: [UInt8], mark: String, path: String
    ) throws(EgressError) -> (changes: [PolicyChange], length: Int) {
        var changes: [PolicyChange] = []
        var start = 0
        while start < bytes.count, let end = bytes[start...].firstIndex(of: lineFeed) {
            let parts = bytes[start..<end].dropFirst().split(separator: UInt8(ascii: " "), maxSplits: 2)
            // Lines of an earlier record stay until the next change overwrites them.
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
