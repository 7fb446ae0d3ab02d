import JSON
import System

/// Takes secrets out of texts that leave the machine: those that are known, and what looks like one.
///
/// It looks at bytes, since texts of others may have characters that swallow the end of a secret.
struct Redaction: Sendable {
    static let mark = "***"
    /// By their first byte, in each form in which a text could have them.
    private let known: [UInt8: [[UInt8]]]

    /// - Parameter secrets: what is shorter than four bytes is left out, or every text would be full of marks.
    init(secrets: some Sequence<String> = [String]()) {
        var known: [UInt8: Set<[UInt8]>] = [:]
        for secret in secrets {
            let forms = [
                Array(secret.utf8), Array(JSONValue.string(secret).encoded.dropFirst().dropLast()),
                Array(PercentEncoding.encode(secret).utf8),
            ]
            for form in forms where form.count >= 4 { known[form[0], default: []].insert(form) }
        }
        self.known = known.mapValues { Array($0) }
    }

    func text(_ text: String) -> String {
        var result: [UInt8] = []
        var isKey = false
        let lines = without(Array(text.utf8)).split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (place, line) in lines.enumerated() {
            if place > 0 { result.append(UInt8(ascii: "\n")) }
            // A private key is many lines that each look like nothing.
            let begins = RedactedLine.has("-----begin", line), ends = RedactedLine.has("-----end", line)
            result += isKey && !ends ? Array(Self.mark.utf8) : RedactedLine(line).shown
            isKey = (isKey || begins) && !ends
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// Without the secrets that are known. Where two overlap, nothing of either is left.
    private func without(_ bytes: [UInt8]) -> [UInt8] {
        guard !known.isEmpty else { return bytes }
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var end = 0
        for (place, byte) in bytes.enumerated() {
            let longest = known[byte]?.lazy.filter { bytes[place...].starts(with: $0) }.map(\.count).max() ?? 0
            if longest > 0, place >= end { result += Self.mark.utf8 }
            end = max(end, place + longest)
            if place >= end { result.append(byte) }
        }
        return result
    }

    // MARK: configurations

    /// A configuration without secrets: the values of keys that the table does not know, and of those that it calls secret,
    /// are left out, and so are paths and queries of URLs.
    func configuration(_ tree: JSONValue) -> JSONValue { configuration(tree, at: []) }

    private func configuration(_ value: JSONValue, at path: [String]) -> JSONValue {
        guard case .object(let object) = value else {
            guard let key = Settings.key(at: path), !key.isSecret else { return .string(Self.mark) }
            return plain(value)
        }
        var shown = JSONObject()
        for member in object.members {
            shown.set(text(member.name), configuration(member.value, at: path + [member.name]))
        }
        return .object(shown)
    }

    private func plain(_ value: JSONValue) -> JSONValue {
        switch value {
        case .string(let text): .string(self.text(text))
        case .array(let entries): .array(entries.map(plain))
        case .object: .string(Self.mark)
        default: value
        }
    }
}
