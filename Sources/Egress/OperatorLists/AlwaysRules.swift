import NetworkPolicy

/// The operator's lists, which outrank the policy: `deny.always` before `allow.always` before the policy.
package struct AlwaysRules: Hashable, Sendable {
    package private(set) var denied: [Rule] = []
    package private(set) var allowed: [Rule] = []

    /// Reads the two lists: one target per line, `#` for comments.
    /// - Throws: `EgressError.invalidPolicy` with the file and the line of the first invalid target.
    package init(deny: String = "", allow: String = "") throws(EgressError) {
        denied = try Self.rules(.deny, deny, file: OperatorFile.deny)
        allowed = try Self.rules(.allow, allow, file: OperatorFile.allow)
    }

    /// In front of the policy's rules. The first match decides.
    package var rules: [Rule] { denied + allowed }

    private static func rules(_ action: Action, _ text: String, file: OperatorFile) throws(EgressError) -> [Rule] {
        var rules: [Rule] = []
        for (number, target) in TargetList.lines(text) {
            do throws(PolicyError) {
                rules.append(try Rule(action: action, text: target))
            } catch {
                throw .invalidPolicy("\(file.rawValue), line \(number): \(error)")
            }
        }
        return rules
    }
}

/// A text with one target per line.
package enum TargetList {
    /// The lines that are neither blank nor comments, with their numbers.
    static func lines(_ text: String) -> [(number: Int, target: String)] {
        text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated().compactMap {
            index, line in
            let words = line.prefix { $0 != "#" }.split(whereSeparator: \.isWhitespace)
            return words.isEmpty ? nil : (index + 1, words.joined(separator: " "))
        }
    }

    /// The targets.
    /// - Throws: `EgressError.invalidPolicy` for the first invalid line.
    package static func targets(_ text: String, file: OperatorFile) throws(EgressError) -> [Target] {
        var targets: [Target] = []
        for (number, target) in lines(text) {
            do throws(PolicyError) {
                targets.append(try Target(target))
            } catch {
                throw .invalidPolicy("\(file.rawValue), line \(number): \(error)")
            }
        }
        return targets
    }
}
