import FoundationEssentials
import HTTPServer
import NIOCore
import NIOHTTP1

/// An answer before it is bytes on a socket.
struct Reply: Sendable {
    var status: HTTPResponseStatus
    var headers: HTTPHeaders = [:]
    var body: [UInt8] = []

    static func json(_ status: HTTPResponseStatus, _ value: some Encodable) -> Reply {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        // Every view consists of strings, numbers, lists and maps of them.
        return .encodedJSON(status, [UInt8](try! encoder.encode(value)))
    }

    static func encodedJSON(_ status: HTTPResponseStatus, _ bytes: [UInt8]) -> Reply {
        Reply(status: status, headers: ["content-type": "application/json"], body: bytes)
    }

    static func text(_ status: HTTPResponseStatus, _ text: String, headers: HTTPHeaders = [:]) -> Reply {
        var headers = headers
        headers.replaceOrAdd(name: "content-type", value: "text/plain; charset=utf-8")
        return Reply(status: status, headers: headers, body: Array(text.utf8))
    }

    static func empty(_ status: HTTPResponseStatus) -> Reply { Reply(status: status) }

    static func error(_ error: APIError) -> Reply {
        var reply = Reply.json(error.status, ErrorBody(error))
        // The server's capacity comes back with the next deletion: soon is a good guess.
        if error.status == .tooManyRequests { reply.headers.add(name: "retry-after", value: "1") }
        return reply
    }
}
