import JSON
import NIOCore
import NIOHTTP1

/// An answer before it is bytes on a socket.
package struct Reply: Sendable {
    package typealias Stream = @Sendable (HTTPResponseWriter) async throws -> Void

    package enum Body: Sendable {
        case bytes([UInt8])
        /// The same of many answers, which is not copied for each.
        case shared(ByteBuffer)
        /// Writes the body part by part once the status line is out, and ends it by `finish` or by returning; by throwing it breaks
        /// the connection off. It runs even if the client has gone by then, so that it can let go of what it holds, but not
        /// for HEAD.
        case stream(first: ByteBuffer = ByteBuffer(), Stream)
        /// Writes all of the answer itself, status line and fields too: what another server has said, or another protocol.
        case written(Stream)
        /// The connection becomes a WebSocket (`Reply.webSocket`).
        case webSocket(WebSocketUpgrade)
    }

    package var status: HTTPResponseStatus
    package var headers: HTTPHeaders
    package var body: Body

    package init(_ status: HTTPResponseStatus, headers: HTTPHeaders = [:], body: Body = .bytes([])) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    package static func empty(_ status: HTTPResponseStatus) -> Reply { Reply(status) }

    /// A value as JSON, absent optionals left out.
    package static func json(
        _ status: HTTPResponseStatus, _ value: some Encodable, headers: HTTPHeaders = [:]
    ) -> Reply {
        guard let bytes = try? JSONText.of(value) else { return Reply(.internalServerError) }
        return .encodedJSON(status, bytes, headers: headers)
    }

    package static func encodedJSON(
        _ status: HTTPResponseStatus, _ bytes: [UInt8], headers: HTTPHeaders = [:]
    ) -> Reply {
        Reply(status, headers: headers, body: .bytes(bytes)).typed("application/json")
    }

    package static func text(_ status: HTTPResponseStatus, _ text: String, headers: HTTPHeaders = [:]) -> Reply {
        Reply(status, headers: headers, body: .bytes(Array(text.utf8))).typed("text/plain; charset=utf-8")
    }

    /// Prometheus' text (exposition format 0.0.4).
    package static func metrics(_ text: String) -> Reply {
        Reply(.ok, body: .bytes(Array(text.utf8))).typed("text/plain; version=0.0.4")
    }

    /// - Parameter first: goes out with the status line.
    package static func stream(
        _ status: HTTPResponseStatus, headers: HTTPHeaders, first: ByteBuffer = ByteBuffer(), _ stream: @escaping Stream
    ) -> Reply {
        Reply(status, headers: headers, body: .stream(first: first, stream))
    }

    private func typed(_ type: String) -> Reply {
        var reply = self
        reply.headers.replaceOrAdd(name: "content-type", value: type)
        return reply
    }

    /// What is known of the body without running a stream.
    package var bytes: [UInt8] {
        switch body {
        case .bytes(let bytes): bytes
        case .shared(let bytes): Array(bytes.readableBytesView)
        default: []
        }
    }
}

extension HTTPResponseWriter {
    /// Sends a reply to its end.
    /// - Throws: `HTTPBodyError.clientGone`, or what the stream throws.
    package func send(_ reply: Reply) async throws {
        switch reply.body {
        case .bytes(let bytes):
            try await respond(reply.status, headers: reply.headers, body: ByteBuffer(bytes: bytes))
        case .shared(let bytes): try await respond(reply.status, headers: reply.headers, body: bytes)
        case .stream(let first, let stream):
            // Who writes on learns what was wrong.
            try? await start(reply.status, headers: reply.headers, first: first)
            if !isForHEAD { try await stream(self) }
            if !isFinished { try await finish() }
        case .written(let write): try await write(self)
        case .webSocket(let upgrade): try await serve(upgrade, reply.headers)
        }
    }
}
