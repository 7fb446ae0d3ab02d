import HTTPServer
import NIOHTTP1
import System

/// The event stream of a run in an isolated session (docs/wire.md#event-streams).
enum IsolatedStream {
    /// - Parameter turn: the run's place in the queue; the stream gives it up.
    static func reply(
        _ request: IsolatedRunRequest, _ turn: RunTurns.Turn, in session: IsolatedSession, _ runner: CommandRunner
    ) -> Reply {
        .stream(.ok, headers: ExecutionStream.headers) { writer in
            writer.whenClientGone { session.abandon(turn, because: "the client has gone") }
            let record = CommandRecord(
                id: CommandRunner.identifier(), content: request.code, startedAt: CommandRunner.now())
            runner.measure(record, as: .isolated)
            let output = EventWriter(writer)
            // Who writes to a client that has gone has been told of it, and reads on until the session is free.
            try? await output.send(.initialized(record.id, at: CommandRunner.now()))
            let pings = StreamPings.begin(output)
            defer { pings.cancel() }
            var last: [StreamEvent] = []
            if await turn.comes, let events = session.begin(request, record, turn) {
                // It may have gone before there was a run to end.
                if writer.isClosed { session.abandon(turn, because: "the client has gone") }
                let limit = limit(request, turn, session)
                defer { limit?.cancel() }
                last = await send(events, record, maxLine: runner.maxLine, output)
            } else {
                record.ended(nil, failure: IsolatedSession.hasEnded, at: CommandRunner.now())
            }
            session.leave(turn)
            pings.cancel()
            try await output.end(last + [end(of: record, at: CommandRunner.now())])
        }
    }

    /// - Returns: what of the output was waiting for a line break.
    private static func send(
        _ events: AsyncStream<ProcessEvent>, _ record: CommandRecord, maxLine: Int, _ output: EventWriter
    ) async -> [StreamEvent] {
        var texts = RunTexts(maxLine: maxLine)
        for await event in events {
            guard case .output(let stream, let bytes) = event else { continue }
            record.consumed(bytes.count)
            try? await output.send(texts.take(stream, bytes, at: CommandRunner.now()))
        }
        return texts.finish(at: CommandRunner.now())
    }

    private static func limit(
        _ request: IsolatedRunRequest, _ turn: RunTurns.Turn, _ session: IsolatedSession
    ) -> Task<Void, any Error>? {
        guard let seconds = request.timeout_seconds, seconds > 0 else { return nil }
        return Task {
            try await Task.sleep(for: .seconds(seconds))
            session.abandon(turn, because: "the run went on after its time limit of \(seconds) s")
        }
    }

    static func end(of record: CommandRecord, at now: Int64) -> StreamEvent {
        let state = record.current
        func failed(_ name: String, _ value: String, _ lines: [String]) -> StreamEvent {
            StreamEvent(type: "error", timestamp: now, error: .init(ename: name, evalue: value, traceback: lines))
        }
        switch (state.failure, state.exit) {
        case (IsolatedSession.hasEnded?, _): return failed("RuntimeError", IsolatedSession.hasEnded, [])
        case (let failure?, _): return failed("RuntimeError", "-1", [failure])
        case (nil, .exited(0)?): return .completed(after: now - record.startedAt, at: now)
        case (nil, let status):
            return failed("ExitError", String(status?.code ?? -1), state.explanation.map { [$0] } ?? [])
        }
    }
}

/// The texts of a run's two streams.
struct RunTexts {
    private var output, errors: TextAssembler

    init(maxLine: Int) { (output, errors) = (TextAssembler(maxLine: maxLine), TextAssembler(maxLine: maxLine)) }

    mutating func take(_ stream: OutputStream, _ bytes: [UInt8], at now: Int64) -> [StreamEvent] {
        let texts = stream == .standardError ? errors.append(bytes) : output.append(bytes)
        return texts.map { .output(stream, $0, at: now) }
    }

    mutating func finish(at now: Int64) -> [StreamEvent] {
        let rest = output.finish().map { StreamEvent.output(.standardOutput, $0, at: now) }
        return rest + errors.finish().map { .output(.standardError, $0, at: now) }
    }
}
