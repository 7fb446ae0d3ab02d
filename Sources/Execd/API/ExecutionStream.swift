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
    static func reply(_ output: ExecutionOutput) -> Reply {
        let record = output.record
        let first = StreamEvent.initialized(record.id, at: CommandRunner.now()).record
        return .stream(.ok, headers: headers, first: ByteBuffer(bytes: first)) { writer in
            writer.whenClientGone { record.kill(because: "the client has gone") }
            try await send(output, EventWriter(writer))
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

    /// A longer part still waits while it is on its way, so that no other is made meanwhile: 256 KiB of blank lines become 16 MiB.
    private static let longPart = 4 * CommandRecord.maxWaiting

    private static func send(_ output: ExecutionOutput, _ writer: EventWriter) async throws {
        let pings = StreamPings.begin(writer)
        defer { pings.cancel() }
        var before: ByteBuffer?
        for await part in output.parts {
            let isLong = part.readableBytes > longPart
            if !isLong { output.record.consumed(part.readableBytes) }
            try await writer.send(records: part)
            if isLong { output.record.consumed(part.readableBytes) }
            if let before { output.gone(before) }
            before = part
        }
        pings.cancel()
        let now = CommandRunner.now()
        try await writer.end(output.rest(at: now) + [end(of: output.record, at: now)])
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
