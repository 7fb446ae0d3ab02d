import HTTPServer
import NIOCore
import NIOHTTP1

/// `GET /events`: a sandbox's decisions as server-sent events (WHATWG HTML, section 9.2).
package struct EventStream: Sendable {
    /// Seconds without an event after which a comment is sent as a heartbeat.
    static let heartbeat = Duration.seconds(15)

    let log: EventLog
    /// Said at the beginning where it is not so. A change of the mode is an event like any other change.
    var isEnforced = true
    /// Asked before each part of the stream; when it says no, the stream ends.
    var mayGoOn: @Sendable () -> Bool = { true }

    package static let headers: HTTPHeaders = [
        "content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no",
    ]

    /// Whether this is the id of an event of some guard.
    package static func isIdentifier(_ text: String) -> Bool { EventRing.Position(text) != nil }

    /// The stream's text for a batch: a `lost` event if any were missed, then the events.
    static func text(_ batch: EventRing.Batch, sandbox: String) -> String {
        var text = ""
        if batch.lost != 0 {
            text += "event: lost\ndata: {\"count\":\(batch.lost.map(String.init) ?? "null")}\n\n"
        }
        for (position, event) in batch.events {
            text += "id: \(position)\nevent: \(event.name)\ndata: \(event.encodedJSON(sandbox: sandbox))\n\n"
        }
        return text
    }

    /// Of no event's number: nothing is lost by who does not read it.
    private static let observed =
        "event: observing\ndata: {\"event\":\"observing\",\"enforced\":false,\"text\":\"\(PolicyStatus.nothingEnforced)\"}\n\n"

    /// A stream until the client goes or the sandbox is released. A slow client is waited for there; meanwhile new events
    /// go into the ring.
    func reply(to request: HTTPRequest) -> Reply {
        // Nobody would read, and leave a reader's place.
        guard request.method != .HEAD else { return Reply(.ok, headers: Self.headers) }
        return reply(after: request.headers["Last-Event-ID"].first)
    }

    /// - Parameter lastSeen: the id of the last event that the reader has.
    func reply(after lastSeen: String?) -> Reply {
        guard let (bell, ring) = log.subscribe() else {
            return .line(.serviceUnavailable, "too many readers: \(EventLog.maximumReaders) are connected")
        }
        return .stream(.ok, headers: Self.headers) { writer in
            defer { ring.finish() }
            writer.whenClientGone { ring.finish() }
            try await send(bell, ring, after: lastSeen, writer)
        }
    }

    private func send(
        _ bell: AsyncStream<Void>, _ ring: AsyncStream<Void>.Continuation, after lastSeen: String?,
        _ writer: HTTPResponseWriter
    ) async throws {
        let heart = Task {
            while !Task.isCancelled {
                try await Task.sleep(for: Self.heartbeat)
                ring.yield()
            }
        }
        defer { heart.cancel() }

        // Not one of our ids, so it is unknown how much the reader has missed.
        var position = lastSeen.map { EventRing.Position($0) ?? .init(generation: 0, number: 0) }
        if !isEnforced { try await writer.write(ByteBuffer(string: Self.observed)) }
        ring.yield()
        var isFirst = true
        for await _ in bell {
            guard mayGoOn() else { return }
            var batch = log.events(after: position)
            let isIdle = batch.events.isEmpty && batch.lost == 0
            if isIdle { try await writer.write(ByteBuffer(string: isFirst ? ": connected\n\n" : ": alive\n\n")) }
            isFirst = false
            position = batch.end
            while !batch.events.isEmpty || batch.lost != 0 {
                guard mayGoOn() else { return }
                try await writer.write(ByteBuffer(string: Self.text(batch, sandbox: log.sandbox)))
                batch = log.events(after: batch.end)
                position = batch.end
            }
        }
    }
}
