import HTTPServer
import NIOCore
import NIOHTTP1

/// `GET /events`: a sandbox's decisions as server-sent events (WHATWG HTML, section 9.2).
struct EventStream: Sendable {
    /// Seconds without an event after which a comment is sent as a heartbeat.
    static let heartbeat = Duration.seconds(15)

    let log: EventLog

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

    /// Serves until the client goes or the sandbox is released. A slow client is waited for here; meanwhile new events
    /// go into the ring.
    func serve(_ request: HTTPRequest, _ writer: HTTPResponseWriter) async throws {
        guard let (bell, ring) = log.subscribe() else {
            return try await writer.send(.text(503, "too many readers: \(EventLog.maximumReaders) are connected"))
        }
        defer { ring.finish() }
        var headers = HTTPHeaders([("Content-Type", "text/event-stream"), ("Cache-Control", "no-store")])
        headers.add(name: "X-Accel-Buffering", value: "no")
        try await writer.start(.ok, headers: headers)
        writer.whenClientGone { ring.finish() }
        let heart = Task {
            while !Task.isCancelled {
                try await Task.sleep(for: Self.heartbeat)
                ring.yield()
            }
        }
        defer { heart.cancel() }

        let lastSeen = request.headers["Last-Event-ID"].first
        // Not one of our ids, so it is unknown how much the reader has missed.
        var position = lastSeen.map { EventRing.Position($0) ?? .init(generation: 0, number: 0) }
        ring.yield()
        var isFirst = true
        for await _ in bell {
            var batch = log.events(after: position)
            let isIdle = batch.events.isEmpty && batch.lost == 0
            if isIdle { try await writer.write(ByteBuffer(string: isFirst ? ": connected\n\n" : ": alive\n\n")) }
            isFirst = false
            position = batch.end
            while !batch.events.isEmpty || batch.lost != 0 {
                try await writer.write(ByteBuffer(string: Self.text(batch, sandbox: log.sandbox)))
                batch = log.events(after: batch.end)
                position = batch.end
            }
        }
        try await writer.finish()
    }
}
