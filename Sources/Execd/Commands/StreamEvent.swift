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

    var record: [UInt8] {
        guard error == nil, execution_count == nil, results == nil, execution_time == nil || text == nil else {
            return EventRecord.bytes(of: self)
        }
        // The most frequent ones, without what the others need.
        return EventRecord.bytes(type, text, executionTime: execution_time, at: timestamp)
    }
}
