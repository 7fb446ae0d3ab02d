import JSON
import SafeText

/// What a list of sandboxes shows of each.
package struct SandboxListing: Sendable {
    package let sandboxes: [JSONValue]
    /// Reads a moment of the API: seconds since 1970.
    private let moment: @Sendable (String) -> Int64?

    package init(_ sandboxes: [JSONValue], moment: @escaping @Sendable (String) -> Int64?) {
        self.sandboxes = sandboxes
        self.moment = moment
    }

    package var ids: [String] { sandboxes.map { Self.text($0["id"]) } }

    /// - Parameter now: seconds since 1970.
    package func table(now: Int64) -> TextTable {
        var table = TextTable("ID", "STATE", "IMAGE", "AGE", "EXPIRES", "LABELS")
        for sandbox in sandboxes {
            let image = Self.text(sandbox["image"]?["uri"])
            let snapshot = Self.text(sandbox["snapshotId"])
            let state = Self.text(sandbox["status"]?["state"])
            table.add(
                [
                    Self.text(sandbox["id"]), state,
                    image.isEmpty && !snapshot.isEmpty ? "snapshot " + snapshot : image,
                    span(since: sandbox["createdAt"], now), span(until: sandbox["expiresAt"], now),
                    Self.labels(sandbox["metadata"]),
                ], tones: Self.tones(of: state, at: 1))
        }
        return table
    }

    /// One sandbox, a line for each thing known of it.
    package static func details(_ sandbox: JSONValue) -> String {
        var lines: [(String, String)] = [
            ("id", text(sandbox["id"])), ("state", text(sandbox["status"]?["state"])),
            ("reason", text(sandbox["status"]?["reason"])), ("message", text(sandbox["status"]?["message"])),
            ("image", text(sandbox["image"]?["uri"])), ("snapshot", text(sandbox["snapshotId"])),
            ("pool", text(sandbox["allocation"]?["poolRef"])), ("created", text(sandbox["createdAt"])),
            ("expires", text(sandbox["expiresAt"])), ("labels", labels(sandbox["metadata"])),
        ]
        if case .array(let words)? = sandbox["entrypoint"] {
            lines.append(("entrypoint", words.map { text($0) }.joined(separator: " ")))
        }
        return self.lines(lines)
    }

    /// Names and what they are, without those that are nothing.
    package static func lines(_ pairs: [(String, String)]) -> String {
        var table = TextTable("", "")
        for (name, value) in pairs where !value.isEmpty { table.add([name, value]) }
        return table.text.split(separator: "\n").dropFirst().map { $0 + "\n" }.joined()
    }

    /// How a state of the API looks at a glance.
    static func tones(of state: String, at column: Int) -> [Int: Tone] {
        switch state {
        case "Running", "Ready": [column: .good]
        case "Failed": [column: .bad]
        case "Paused", "Terminated", "": [:]
        default: [column: .doubtful]
        }
    }

    static func text(_ value: JSONValue?) -> String { if case .string(let text)? = value { text } else { "" } }

    private static func labels(_ value: JSONValue?) -> String {
        guard case .object(let object)? = value else { return "" }
        return object.members.map { "\($0.name)=\(text($0.value))" }.joined(separator: ",")
    }

    private func span(since text: JSONValue?, _ now: Int64) -> String {
        moment(Self.text(text)).map { Span.text(between: $0, now) } ?? ""
    }

    private func span(until text: JSONValue?, _ now: Int64) -> String {
        moment(Self.text(text)).map { Span.text(between: now, $0) } ?? "never"
    }
}

/// Spans of time as people say them: the largest unit that has two of it, or one.
enum Span {
    /// Of two moments in seconds, whatever a server says.
    static func text(between first: Int64, _ last: Int64) -> String {
        let (seconds, overflows) = last.subtractingReportingOverflow(first)
        return text(overflows ? (last > first ? .max : 0) : seconds)
    }

    static func text(_ seconds: Int64) -> String {
        let units: [(Int64, String)] = [(86_400, "d"), (3600, "h"), (60, "m")]
        guard seconds > 0 else { return "0s" }
        for (size, name) in units where seconds >= 2 * size { return "\(seconds / size)\(name)" }
        return "\(seconds)s"
    }
}
