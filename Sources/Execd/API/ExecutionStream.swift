import HTTPServer
import NIOCore
import NIOHTTP1
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The event stream of one execution, of a command or of a session's run (docs/wire.md#event-streams).
enum ExecutionStream {
    /// The events of a foreground execution up to its end; it dies with the connection.
    /// - Parameter maxLine: bytes of a line that wait for its break.
    static func reply(_ record: CommandRecord, _ events: AsyncStream<ProcessEvent>, maxLine: Int) -> Reply {
        let first = StreamEvent.initialized(record.id, at: CommandRunner.now()).record
        return .stream(.ok, headers: headers, first: ByteBuffer(bytes: first)) { writer in
            writer.whenClientGone { record.kill(because: "the client has gone") }
            try await send(record, events, maxLine: maxLine, EventWriter(writer))
        }
    }

    /// What is said of an execution in the background: that it has begun, or why it could not.
    static func background(_ record: CommandRecord) -> Reply {
        let now = CommandRunner.now()
        let last: StreamEvent =
            if let failure = record.current.failure {
                .failed("127", traceback: [failure], at: now)
            } else {
                .completed(after: 0, at: now)
            }
        let events = StreamEvent.initialized(record.id, at: now).record + last.record
        return .stream(.ok, headers: headers, first: ByteBuffer(bytes: events)) { _ in }
    }

    static let headers: HTTPHeaders = [
        "content-type": "text/event-stream", "cache-control": "no-cache", "x-accel-buffering": "no",
    ]

    private static func send(
        _ record: CommandRecord, _ events: AsyncStream<ProcessEvent>, maxLine: Int, _ writer: EventWriter
    ) async throws {
        let pings = StreamPings.begin(writer)
        defer { pings.cancel() }
        let assembler = TextAssembler(maxLine: maxLine)
        var texts: [OutputStream: TextAssembler] = [.standardOutput: assembler, .standardError: assembler]
        for await event in events {
            guard case .output(let stream, let bytes) = event else { continue }
            record.consumed(bytes.count)
            let ending = EventRecord.ending(stream, at: CommandRunner.now())
            try await writer.send(records: records(of: bytes, ending, &texts[stream]!))
        }
        pings.cancel()
        let now = CommandRunner.now()
        var last = texts[.standardOutput]!.finish().map { StreamEvent.output(.standardOutput, $0, at: now) }
        last += texts[.standardError]!.finish().map { .output(.standardError, $0, at: now) }
        try await writer.end(last + [end(of: record, at: now)])
    }

    private static func records(of bytes: [UInt8], _ ending: [UInt8], _ texts: inout TextAssembler) -> ByteBuffer {
        // Lines of 60 bytes become twice as long.
        var records = ByteBufferAllocator().buffer(capacity: 2 * bytes.count + 256)
        ending.withUnsafeBytes { ending in
            texts.append(bytes) { EventRecord.appendOutput(hasBreak: $0, $1, ending: ending, to: &records) }
        }
        return records
    }

    private static func end(of record: CommandRecord, at now: Int64) -> StreamEvent {
        let state = record.current
        switch (state.failure, state.exit) {
        case (let failure?, nil): return .failed("127", traceback: [failure], at: now)
        case (let failure?, _): return .failed("-1", traceback: [failure], at: now)
        case (nil, .exited(0)?): return .completed(after: now - record.startedAt, at: now)
        case (nil, let status):
            return .failed(String(status?.code ?? -1), traceback: state.explanation.map { [$0] } ?? [], at: now)
        }
    }
}

/// Writes events one at a time, also when several tasks write.
actor EventWriter {
    private let response: HTTPResponseWriter
    private var hasEnded = false

    init(_ response: HTTPResponseWriter) { self.response = response }

    func send(_ event: StreamEvent) async throws { try await send([event]) }

    func send(_ events: [StreamEvent]) async throws {
        guard !events.isEmpty, !hasEnded else { return }
        try await response.write(ByteBuffer(bytes: events.flatMap(\.record)))
    }

    /// Sends events that are encoded already, when those before have gone.
    func send(records: ByteBuffer) async throws {
        guard !hasEnded else { return }
        try await response.writeAhead(records)
    }

    /// Sends an event of another kind.
    func send(of event: some Encodable & Sendable) async throws {
        guard !hasEnded else { return }
        try await response.write(ByteBuffer(bytes: EventRecord.bytes(of: event)))
    }

    /// Sends the last events, and with them the end of the stream.
    func end(_ events: [StreamEvent]) async throws {
        hasEnded = true
        try await response.finish(ByteBuffer(bytes: events.flatMap(\.record)))
    }
}
