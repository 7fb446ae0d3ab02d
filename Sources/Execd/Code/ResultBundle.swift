import JSON
import System

/// A value's representations by MIME type, each as a text: what an event's `results` hold.
///
/// Clients take one event for one line of at most 4 MiB, and decode `results` as an object of strings.
struct ResultBundle: Hashable, Sendable {
    private(set) var texts: [String: String]

    static let maxTypes = 32
    private static let maxName = 128
    static let plain = "text/plain"

    /// - Parameter data: as a kernel gives it: a text, the lines of a text, or any JSON.
    init(_ data: JSONObject) {
        texts = [:]
        for member in data.members.prefix(Self.maxTypes) where member.name.utf8.count <= Self.maxName {
            texts[member.name] = Self.text(member.value, of: member.name)
        }
    }

    init(_ texts: [String: String]) { self.texts = texts }

    var size: Int { texts.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count } }

    private static func text(_ value: JSONValue, of type: String) -> String? {
        let text: String
        switch value {
        case .null: return nil
        case .string(let string): text = string
        case .array(let parts):
            let lines = parts.compactMap { if case .string(let line) = $0 { line } else { nil } }
            // A list under a JSON type is the value itself.
            guard lines.count == parts.count, !type.holds("json") else { fallthrough }
            text = lines.joined()
        default: text = String(decoding: value.encoded, as: UTF8.self)
        }
        // Kernels break Base64 into lines, clients put it into URLs.
        guard !type.hasPrefix("text/"), !type.holds("json"), !type.holds("svg"), !type.holds("javascript")
        else {
            return text
        }
        return text.contains(where: \.isNewline) ? text.filter { !$0.isNewline } : text
    }

    /// What an event holds: the plain text under both names that clients know it by, and no more bytes of JSON than
    /// `limit`. The largest representation goes first, and the text says so; the text itself is cut last.
    func fields(limit: Int) -> [String: String] {
        var kept = texts
        var text = kept.removeValue(forKey: Self.plain) ?? ""
        func size(_ name: String, _ value: String) -> Int {
            TextAssembler.encodedSize(of: name) + TextAssembler.encodedSize(of: value) + 6
        }
        var sizes = kept.map { (name: $0.key, size: size($0.key, $0.value)) }.sorted {
            ($0.size, $0.name) < ($1.size, $1.name)
        }
        var total = sizes.reduce(0) { $0 + $1.size }
        func both() -> Int { size("text", text) + size(Self.plain, text) }
        while total + both() > limit, let largest = sizes.popLast() {
            kept[largest.name] = nil
            total -= largest.size
            text += (text.isEmpty ? "" : "\n") + "[\(largest.name) is too large to be sent]"
        }
        if total + both() > limit {
            // A byte of text becomes 6 bytes of JSON at the most, twice.
            text = String(text.unicodeScalars.prefix(max(limit / 48, 0))) + "\n[the rest is too large to be sent]"
        }
        kept["text"] = text
        kept[Self.plain] = text
        return kept
    }
}
