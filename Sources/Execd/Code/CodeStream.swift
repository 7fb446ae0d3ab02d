import HTTPServer
import NIOHTTP1

/// The event stream of a run in a context (docs/wire.md#event-streams).
enum CodeStream {
    /// - Parameters:
    ///   - turn: the run's place in the queue; the stream gives it up.
    ///   - maxLine: bytes of a line that wait for its break.
    ///   - meter: counts its time.
    static func reply(
        _ code: String, _ turn: CodeContext.Turn, in context: CodeContext, maxLine: Int, _ meter: Meter?
    ) -> Reply {
        .stream(.ok, headers: ExecutionStream.headers) { writer in
            writer.whenClientGone { context.abandon(turn) }
            let output = EventWriter(writer)
            // Who writes to a client that has gone has been told of it, and reads on until the kernel is free.
            try? await output.send(.initialized(context.id, at: CommandRunner.now()))
            let pings = StreamPings.begin(output)
            defer { pings.cancel() }
            var events = RunEvents(maxLine: maxLine)
            let begin = CommandRunner.now()
            if await turn.comes {
                let run = await context.execute(code, turn)
                for await event in run.events {
                    try? await output.send(events.take(event, at: CommandRunner.now()))
                    run.consumed(event)
                }
            } else {
                _ = events.take(.failed(.kernelDied("the context was deleted")), at: CommandRunner.now())
            }
            context.leave(turn)
            let now = CommandRunner.now()
            meter?.note(.code, isSuccess: !events.hasFailed, milliseconds: now - begin)
            try await output.end(events.finish(after: now - begin, at: now))
        }
    }
}
