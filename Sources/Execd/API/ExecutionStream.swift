import HTTPServer
import NIOCore
import NIOHTTP1
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The event stream of one execution, of a command or of a session's run (docs/wire.md#event-streams).
enum ExecutionStream {
    private static let pingInterval = Duration.seconds(3)

    /// Sends the events of a foreground execution until it ends. If the client disconnects, it is killed.
    /// - Parameter maxLine: the longest line, in bytes, that is held until its line break.
    static func send(
        _ record: CommandRecord, _ events: AsyncStream<ProcessEvent>, maxLine: Int, _ response: HTTPResponseWriter
    ) async throws {
        response.whenClientGone { record.signal(SIGKILL, because: "the client has gone") }
        let writer = EventWriter(response: response)
        try await writer.start()
        try await writer.send(.initialized(record.id, at: CommandRunner.now()))
        let pings = Task {
            while !Task.isCancelled {
                try await Task.sleep(for: pingInterval)
                try await writer.send(.ping(at: CommandRunner.now()))
            }
        }
        defer { pings.cancel() }
        let assembler = TextAssembler(maxLine: maxLine)
        var texts: [OutputStream: TextAssembler] = [.standardOutput: assembler, .standardError: assembler]
        for await event in events {
            guard case .output(let stream, let bytes) = event else { continue }
            record.consumed(bytes.count)
            let now = CommandRunner.now()
            try await writer.send(texts[stream]!.append(bytes).map { .output(stream, $0, at: now) })
        }
        pings.cancel()
        let now = CommandRunner.now()
        var last = texts[.standardOutput]!.finish().map { StreamEvent.output(.standardOutput, $0, at: now) }
        last += texts[.standardError]!.finish().map { .output(.standardError, $0, at: now) }
        try await writer.send(last + [end(of: record, at: now)])
        try await response.finish()
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

    init(response: HTTPResponseWriter) { self.response = response }

    func start() async throws {
        try await response.start(
            .ok, headers: ["content-type": "text/event-stream", "cache-control": "no-cache", "x-accel-buffering": "no"])
    }

    func send(_ event: StreamEvent) async throws { try await send([event]) }

    func send(_ events: [StreamEvent]) async throws {
        guard !events.isEmpty else { return }
        try await response.write(ByteBuffer(bytes: events.flatMap(\.record)))
    }
}
