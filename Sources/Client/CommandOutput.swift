import JSON

/// The lines of execd's stream of a command, read one by one (docs/wire.md#event-streams).
package struct CommandOutput: Sendable {
    /// What a line means for whoever watches the command.
    package enum Step: Hashable, Sendable {
        /// It has begun, with this id.
        case begun(String)
        case output([UInt8])
        case errors([UInt8])
        /// It has ended, with this exit status.
        case ended(Int32)
        /// It could not run, or was ended.
        case failed(String)
    }

    private var output = Seam()
    private var errors = Seam()

    package init() {}

    /// - Returns: nil for a line that says nothing to a reader, such as a ping.
    package mutating func take(_ line: [UInt8]) -> Step? {
        guard let start = line.firstIndex(of: UInt8(ascii: "{")), let event = try? JSONValue(line[start...]),
            case .string(let type)? = event["type"]
        else { return nil }
        var text = ""
        if case .string(let given)? = event["text"] { text = given }
        switch type {
        case "init": return .begun(text)
        case "stdout": return .output(output.join(text))
        case "stderr": return .errors(errors.join(text))
        case "execution_complete": return .ended(0)
        case "error":
            var value = ""
            if case .string(let given)? = event["error"]?["evalue"] { value = given }
            return Int32(value).map { .ended($0) } ?? .failed(value)
        default: return nil
        }
    }

    /// The line breaks that are owed: the last one of a stream is never sent.
    package var rest: (output: [UInt8], errors: [UInt8]) { (output.rest, errors.rest) }

    /// Puts texts together again. A break stands between two unless one of them has it at the seam.
    private struct Seam {
        private var last: UInt8?

        var rest: [UInt8] { last.map(Self.isBreak) == false ? [UInt8(ascii: "\n")] : [] }

        mutating func join(_ text: String) -> [UInt8] {
            var bytes = Array(text.utf8)
            if let last, !Self.isBreak(last), bytes.first.map(Self.isBreak) != true {
                bytes.insert(UInt8(ascii: "\n"), at: 0)
            }
            last = bytes.last ?? last ?? UInt8(ascii: " ")
            return bytes
        }

        private static func isBreak(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") }
    }
}
