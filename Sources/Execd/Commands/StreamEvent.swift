import FoundationEssentials

/// One event of an execution's stream (CLIENTS.md, section 6.2).
struct StreamEvent: Encodable, Hashable, Sendable {
    struct Failure: Encodable, Hashable, Sendable {
        var ename: String
        var evalue: String
        var traceback: [String]
    }

    var type: String
    /// Milliseconds since 1970; clients drop an event without it.
    var timestamp: Int64
    var text: String?
    var error: Failure?
    /// Milliseconds; left out when 0.
    var execution_time: Int64?

    static func initialized(_ id: String, at now: Int64) -> StreamEvent {
        StreamEvent(type: "init", timestamp: now, text: id)
    }
    static func output(_ stream: OutputStream, _ text: String, at now: Int64) -> StreamEvent {
        StreamEvent(type: stream == .standardOutput ? "stdout" : "stderr", timestamp: now, text: text)
    }
    static func failed(_ value: String, traceback: [String] = [], at now: Int64) -> StreamEvent {
        StreamEvent(
            type: "error", timestamp: now,
            error: Failure(ename: "CommandExecError", evalue: value, traceback: traceback))
    }
    static func completed(after milliseconds: Int64, at now: Int64) -> StreamEvent {
        StreamEvent(type: "execution_complete", timestamp: now, execution_time: milliseconds > 0 ? milliseconds : nil)
    }
    static func ping(at now: Int64) -> StreamEvent { StreamEvent(type: "ping", timestamp: now, text: "pong") }

    /// One line and a blank one. Characters that some client's line splitter takes for a line end are escaped: U+0085,
    /// U+2028 and U+2029 are legal in JSON, but would lose the event.
    var serverSentBytes: [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        // Strings and integers always encode.
        let json = String(decoding: try! encoder.encode(self), as: UTF8.self)
        var line = "data: "
        for scalar in json.unicodeScalars {
            switch scalar.value {
            case 0x85: line += #"\u0085"#
            case 0x2028: line += #"\u2028"#
            case 0x2029: line += #"\u2029"#
            default: line.unicodeScalars.append(scalar)
            }
        }
        return Array((line + "\n\n").utf8)
    }
}
