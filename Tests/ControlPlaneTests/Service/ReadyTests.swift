import JSON
import NIOHTTP1
import Synchronization
import TestSupport
import Testing

@testable import ControlPlane
@testable import HTTPServer

@Suite struct ReadyTests {
    @Test func `a server is ready while it can write, and says to its operator alone what is wrong`() async throws {
        var keys = APIKeys.none
        let tenant = try keys.create("ci", .operate)
        let house = try House(keys: keys)
        for key in [nil, "wrong", tenant] {
            let answer = await house.send(.GET, "/ready", key: key)
            #expect(answer.status == 200 && answer.text == #"{"status":"ready"}"#, "\(answer.text)")
        }
        let whole = await house.send(.GET, "/ready", key: House.apiKey)
        #expect(whole.text.contains(#"{"name":"store","ready":true}"#))

        let broken = try House(keys: keys)
        broken.store.failing.withLock { $0 = true }
        for key in [nil, tenant] {
            let answer = await broken.send(.GET, "/ready", key: key)
            #expect(answer.status == 503 && answer.text == #"{"status":"unready"}"#, "\(answer.text)")
        }
        let why = await broken.send(.GET, "/ready", key: House.apiKey)
        #expect(why.status == 503 && why.text.contains("told to fail") && why.text.contains(#""name":"runtime""#))
        #expect(await broken.send(.GET, "/health").status == 200, "it lives all the same")
    }

    @Test func `a store that can be written is ready, and one that cannot is not`() async throws {
        let folder = TemporaryFolder("ready"), store = try SQLiteStore(path: folder.path + "/s.db")
        try await store.checkWrite()
        try await store.checkWrite()
        #expect(try await store.sandboxes.all().isEmpty)
    }
}

@Suite struct RequestLinesTests {
    private let lines = RecordedLines()

    private func note(
        _ mode: AccessLogMode, _ path: String, _ status: HTTPResponseStatus, known: Bool, body: String = ""
    ) -> [[String: String]] {
        let requests = RequestLines(log: AccessLog(mode, logger: lines.logger())) { _ in known }
        var request = HTTPRequest(
            method: .GET, target: path + "?secret=secret", headers: ["open-sandbox-api-key": "secret"])
        let parts = path.split(separator: "/").map(String.init)
        request.parameters = PathParameters(names: ["id"], values: [parts.last ?? ""])
        var answered = AnsweredRequest(
            method: .GET, route: "/v1/sandboxes/{id}", request: request,
            reply: Reply(status, body: .bytes(Array(body.utf8))), id: "r1")
        answered.bytesOut = 7
        requests.note(answered)
        return lines.all
    }

    @Test func `the API's line has pattern, sandbox, code and id`() {
        let line = note(.errors, "/v1/sandboxes/s1", .notFound, known: true, body: #"{"code":"NOT_THERE"}"#)[0]
        #expect(line["route"] == "/v1/sandboxes/{id}" && line["sandbox"] == "s1" && line["status"] == "404")
        #expect(line["code"] == "NOT_THERE" && line["request"] == "r1" && line["bytesOut"] == "7")
        #expect(!line.values.contains { $0.contains("secret") })
    }

    @Test func `what somebody without a key writes in place of an id is in no line`() {
        let line = note(.all, "/v1/sandboxes/made-up", .unauthorized, known: false)[0]
        #expect(line["sandbox"] == nil && line["status"] == "401")
        #expect(note(.all, "/v1/sandboxes/..%2f..", .notFound, known: true)[1]["sandbox"] == nil)
    }

    @Test func `what went well has a line only where all is wanted`() {
        #expect(note(.errors, "/v1/sandboxes/s", .ok, known: true).isEmpty)
        #expect(note(.off, "/v1/sandboxes/s", .notFound, known: true).isEmpty)
        #expect(note(.all, "/v1/sandboxes/s", .ok, known: true).count == 1)
    }
}

@Suite struct RequestRefusalsTests {
    private let refusals = RequestRefusals()

    private func series(
        _ status: HTTPResponseStatus, _ body: String, route: String? = "/v1/sandboxes/{id}"
    ) -> RequestRefusals.Series? {
        let request = HTTPRequest(method: .GET, target: "/v1/sandboxes/made-up?secret=secret", headers: [:])
        return refusals.series(
            of: AnsweredRequest(
                method: .GET, route: route, request: request, reply: Reply(status, body: .bytes(Array(body.utf8))),
                id: "r1"))
    }

    private func counted(_ code: String, _ route: String) -> RequestRefusals.Series {
        RequestRefusals.Series(code: code, route: route)
    }

    @Test func `an error counts by its code and the pattern of its route, and what went well not at all`() {
        #expect(series(.notFound, #"{"code":"A::B"}"#) == counted("A::B", "/v1/sandboxes/{id}"))
        #expect(series(.internalServerError, #"{"code":"C"}"#, route: nil) == counted("C", "unknown"))
        #expect(series(.ok, #"{"code":"A::B"}"#) == nil && series(.found, "") == nil)
    }

    @Test(arguments: [
        "", "no JSON", "{}", #"{"code":7}"#, #"{"code":""}"#,
        #"{"code":"\#(String(repeating: "x", count: 65))"}"#,
    ])
    func `an answer without a code of ours counts as another`(_ body: String) {
        #expect(series(.badRequest, body)?.code == "OTHER")
    }

    @Test func `there are no more codes than fit, whatever answers say`() {
        let last = RequestRefusals.maxCodes - 1
        let codes = (0..<1000).map { series(.conflict, "{\"code\":\"C\($0)\"}")?.code }
        #expect(codes[last] == "C\(last)" && codes[last + 1] == "OTHER" && codes[999] == "OTHER")
        #expect(series(.conflict, #"{"code":"C0"}"#)?.code == "C0")
    }
}
