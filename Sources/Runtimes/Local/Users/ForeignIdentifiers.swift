import System

/// Ids in use on this machine: its users and groups (passwd(5), group(5)), and ranges reserved for containers
/// (subuid(5), subgid(5)).
struct ForeignIdentifiers: Hashable, Sendable {
    /// The owner of ranges in subuid(5) that are meant for sandboxes.
    static let ownName = "sallyport"

    private(set) var ranges: [ClosedRange<UInt32>] = []

    /// - Parameters:
    ///   - accounts: the text of files whose third field is an id.
    ///   - subordinate: the text of files whose second and third fields are a first id and how many there are.
    init(accounts: [String], subordinate: [String]) {
        for fields in accounts.flatMap(Self.lines) where fields.count >= 3 {
            guard let id = UInt32(fields[2]) else { continue }
            ranges.append(id...id)
        }
        for fields in subordinate.flatMap(Self.lines) where fields.count >= 3 && fields[0] != Self.ownName {
            guard let first = UInt32(fields[1]), let count = UInt32(fields[2]), count > 0 else { continue }
            let (last, isBeyond) = first.addingReportingOverflow(count - 1)
            ranges.append(first...(isBeyond ? .max : last))
        }
    }

    static func ofThisMachine() -> ForeignIdentifiers {
        func text(_ path: String) -> String { File.text(path) ?? "" }
        return ForeignIdentifiers(
            accounts: [text("/etc/passwd"), text("/etc/group")],
            subordinate: [text("/etc/subuid"), text("/etc/subgid")])
    }

    func overlap(_ range: IdentifierRange) -> Bool { ranges.contains { $0.overlaps(range.all) } }

    private static func lines(_ text: String) -> [[Substring]] {
        text.split(separator: "\n").map { $0.split(separator: ":", omittingEmptySubsequences: false) }
    }
}
