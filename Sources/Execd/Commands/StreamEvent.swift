import FoundationEssentials

/// One event of an execution's stream (docs/wire.md#event-streams).
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
    /// The number of a run of code.
    var execution_count: Int?
    /// A value that code shows, by MIME type, and as `text`.
    var results: [String: String]?

    /// The longest reason of a failure, in characters.
    private static let maxReason = 4096

    static func initialized(_ id: String, at now: Int64) -> StreamEvent {
        StreamEvent(type: "init", timestamp: now, text: id)
    }
    static func output(_ stream: OutputStream, _ text: String, at now: Int64) -> StreamEvent {
        StreamEvent(type: stream == .standardOutput ? "stdout" : "stderr", timestamp: now, text: text)
    }
    static func failed(_ value: String, traceback: [String] = [], at now: Int64) -> StreamEvent {
        StreamEvent(
            type: "error", timestamp: now,
            error: Failure(
                ename: "CommandExecError", evalue: value,
                // The reason may quote what the client sent, which may be long.
                traceback: traceback.map { String($0.unicodeScalars.prefix(maxReason)) }))
    }
    static func completed(after milliseconds: Int64, at now: Int64) -> StreamEvent {
        StreamEvent(type: "execution_complete", timestamp: now, execution_time: milliseconds > 0 ? milliseconds : nil)
    }
    static func ping(at now: Int64) -> StreamEvent { StreamEvent(type: "ping", timestamp: now, text: "pong") }

    /// The event as one line of JSON and a blank line, without `data:`, because one client passes each line to its JSON
    /// parser unchanged (docs/wire.md#event-streams). U+0085, U+2028 and U+2029 are escaped: they are legal in JSON,
    /// but some clients split lines at them and would lose the event.
    var record: [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        // Strings and integers always encode.
        let json = [UInt8](try! encoder.encode(self))
        var record: [UInt8] = []
        record.reserveCapacity(json.count + 2)
        var index = 0
        while index < json.count {
            if json[index] >= 0xc2, let end = Self.lineEnds.first(where: { json[index...].starts(with: $0.bytes) }) {
                record += end.escape.utf8
                index += end.bytes.count
            } else {
                record.append(json[index])
                index += 1
            }
        }
        return record + [UInt8(ascii: "\n"), UInt8(ascii: "\n")]
    }

    private static let lineEnds: [(bytes: [UInt8], escape: String)] = [
        ([0xc2, 0x85], #"\u0085"#), ([0xe2, 0x80, 0xa8], #"\u2028"#), ([0xe2, 0x80, 0xa9], #"\u2029"#),
    ]
}
