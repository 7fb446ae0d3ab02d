import NIOHTTP1
import TestSupport
import Testing

@testable import ControlPlane
@testable import HTTPServer

@Suite struct ErrorReplyTests {
    private struct Surprise: Error { let detail = "of the inside" }

    private let lines = RecordedLines()

    private func reply(to error: any Error) -> (status: HTTPResponseStatus, text: String) {
        let request = HTTPRequest(method: .GET, target: "/v1/sandboxes?token=secret")
        let reply = Reply.errors(lines.logger())(error, request)
        return (reply.status, String(decoding: reply.bytes, as: UTF8.self))
    }

    @Test func `an error that the contract does not know is in the log, and the client learns nothing of it`() throws {
        let answer = reply(to: Surprise())
        #expect(answer.status == .internalServerError && answer.text.contains("INTERNAL_ERROR"))
        #expect(!answer.text.contains("inside") && !answer.text.isEmpty)
        let line = try #require(lines.all.first)
        #expect(line["method"] == "GET" && line["path"] == "/v1/sandboxes" && line["error"]?.contains("inside") == true)
    }

    @Test func `what a client does wrong is no line of the log`() {
        #expect(reply(to: RoutingError.unknownRoute).status == .notFound)
        #expect(reply(to: APIError(.conflict, "SANDBOX::BUSY", "busy")).status == .conflict)
        #expect(lines.all.isEmpty)
    }
}
