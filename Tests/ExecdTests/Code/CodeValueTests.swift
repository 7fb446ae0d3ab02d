import JSON
import Spelling
import Testing

@testable import Execd

struct CodeValueTests {
    @Test(
        arguments: [
            ("python", .kernel(.python)), (" Python3 ", .kernel(.python)), ("js", .kernel(.javascript)),
            ("golang", .kernel(.go)), ("sh", .kernel(.bash)), ("", .command), ("command", .command),
            ("background-command", .backgroundCommand), ("sql", nil), ("py thon", nil), ("pythön", nil),
        ] as [(String, CodeLanguage?)])
    func `a language goes by its name and by what people call it`(name: String, language: CodeLanguage?) {
        #expect(CodeLanguage(name) == language)
    }

    @Test func `an absent language is a shell run`() { #expect(CodeLanguage(nil) == .command) }

    @Test func `runs take turns in the order of their coming`() {
        var queue = RunQueue(at: 5)
        #expect(queue.idleSince == 5)
        #expect(queue.enter() == .begins(1) && queue.enter() == .waits(2) && queue.enter() == .waits(3))
        #expect(queue.idleSince == nil)
        #expect(queue.leave(3, at: 6) == nil, "one that waits may go")
        #expect(queue.leave(1, at: 7) == 2 && queue.leave(1, at: 8) == nil, "none leaves twice")
        #expect(queue.leave(2, at: 9) == nil && queue.idleSince == 9 && queue.running == nil)
        #expect(queue.enter() == .begins(4))
    }

    @Test func `a bounded number of runs waits, and none where the context is closed`() {
        var queue = RunQueue(at: 0)
        for _ in 0...RunQueue.maxWaiting { _ = queue.enter() }
        #expect(queue.enter() == .refused(.full))
        #expect(queue.close() == Array(2...RunQueue.maxWaiting + 1))
        #expect(queue.enter() == .refused(.closed))
        #expect(queue.leave(1, at: 1) == nil)
    }

    @Test func `an interrupt waits for the kernel to have the run, and is for no other`() {
        var queue = RunQueue(at: 0)
        func interrupt() -> Bool { queue.interrupt() }
        #expect(!interrupt(), "nothing runs")
        #expect(queue.enter() == .begins(1) && queue.enter() == .waits(2))
        #expect(!interrupt() && queue.began(1), "it is told as soon as it has the run")
        #expect(interrupt(), "and at once from then on")
        #expect(queue.leave(1, at: 1) == 2)
        #expect(!queue.began(1) && !queue.began(2), "the next run is not interrupted")
        #expect(interrupt())
    }

    @Test func `a run has one terminal event, and it is the last`() {
        for failures in 0...3 {
            var events = RunEvents(maxLine: 1024), all: [StreamEvent] = []
            for number in 0..<failures { all += events.take(.failed(CodeFailure("E\(number)", "v")), at: 1) }
            all += events.take(.output(.standardOutput, Array("late".utf8)), at: 1)
            all += events.finish(after: 3, at: 2)
            #expect(all.filter { $0.type == "error" || $0.type == "execution_complete" } == [all.last!])
            #expect(all.last?.error?.ename == (failures > 0 ? "E0" : nil))
            #expect(all.first?.text == "late")
        }
    }

    @Test func `texts come by whole lines with their breaks, and before what is shown after them`() {
        var events = RunEvents(maxLine: 1024)
        func take(_ text: String) -> [String?] {
            events.take(.output(.standardOutput, Array(text.utf8)), at: 0).map(\.text)
        }
        #expect(take("a\nb\nc") == ["a\nb\n"] && take("d") == [] && take("\n\ne") == ["cd\n\n"])
        let shown = events.take(.result(ResultBundle(["text/plain": "2"])), at: 0)
        #expect(shown.map(\.type) == ["stdout", "result"] && shown[0].text == "e")
        #expect(take(String(repeating: "x", count: 1025)) == [String(repeating: "x", count: 1024)])
        #expect(events.finish(after: 0, at: 0).map(\.text) == ["x", nil])
    }

    @Test func `a count comes once`() {
        var events = RunEvents(maxLine: 1024)
        #expect(events.take(.count(7), at: 0).map(\.execution_count) == [7] && events.take(.count(8), at: 0) == [])
    }

    @Test(arguments: [
        (#"{"text/plain":["a\n","b"]}"#, ["text": "a\nb", "text/plain": "a\nb"]),
        (#"{"image/png":"aa\nbb\n"}"#, ["image/png": "aabb", "text": "", "text/plain": ""]),
        (
            #"{"application/json":{"a":[1,null]},"text/plain":"x"}"#,
            ["application/json": #"{"a":[1,null]}"#, "text": "x", "text/plain": "x"]
        ),
        (
            #"{"application/json":["a"],"text/html":null}"#,
            ["application/json": #"["a"]"#, "text": "", "text/plain": ""]
        ),
        (#"{"text/html":"<b>\n</b>","x/y":3}"#, ["text/html": "<b>\n</b>", "x/y": "3", "text": "", "text/plain": ""]),
    ])
    func `a result is an object of texts, with the plain one under both of its names`(
        data: String, fields: [String: String]
    ) throws {
        guard case .object(let object) = try JSONValue(Array(data.utf8)) else { return #expect(Bool(false)) }
        #expect(ResultBundle(object).fields(limit: 1000) == fields)
    }

    @Test func `of a result that is too large the largest part is left out, and the text says so`() {
        let bundle = ResultBundle([
            "text/plain": "fig", "image/png": String(repeating: "A", count: 600), "text/html": "<i>",
        ])
        let fields = bundle.fields(limit: 500)
        #expect(fields["image/png"] == nil && fields["text/html"] == "<i>")
        #expect(fields["text"] == "fig\n[image/png is too large to be sent]" && fields["text"] == fields["text/plain"])
        let long = ResultBundle(["text/plain": String(repeating: "\u{1}é", count: 1 << 20)])
        let event = StreamEvent.result(long.fields(limit: RunEvents.maxResults), at: .max)
        #expect(event.record.count <= TextAssembler.maxRecord)
        #expect(long.fields(limit: 10_000)["text"]?.hasSuffix("[the rest is too large to be sent]") == true)
    }

    @Test func `of hostile results only so many types are kept`() {
        var object = JSONObject()
        for number in 0..<1000 { object.set("x/\(number)", .string("")) }
        object.set(String(repeating: "y", count: 500), .string(""))
        #expect(ResultBundle(object).texts.count == ResultBundle.maxTypes)
    }

    @Test func `an error's value is never a bare number, and no error is longer than an event may be`() {
        #expect(CodeFailure("SystemExit", "3").value == "SystemExit: 3" && CodeFailure("", "7").value == "Error: 7")
        #expect(CodeFailure("KeyError", "'a'").value == "'a'")
        let long = String(repeating: "\u{2028}", count: 1 << 20)
        let event = StreamEvent.failed(
            CodeFailure(long, long, traceback: Array(repeating: long, count: 1000)), at: 0)
        #expect(event.record.count <= TextAssembler.maxRecord)
    }

    @Test func `what comes on a control channel is cut into lines, however it comes`() {
        var lines = ControlLines(maxLine: DriverMessage.maxLine)
        let text = Array("one\n\ntwo\nthr".utf8)
        var found: [String] = []
        for byte in text { found += lines.append([byte]).map { String(decoding: $0, as: UTF8.self) } }
        #expect(found == ["one", "", "two"])
        #expect(lines.append(Array("ee\n".utf8)).map { Array($0) } == [Array("three".utf8)])
        #expect(!lines.isBroken)
        _ = lines.append([UInt8](repeating: 0x41, count: DriverMessage.maxLine + 1))
        #expect(lines.isBroken && lines.append([10]).isEmpty)
    }

    @Test(
        arguments: [
            (#"{"ready":true}"#, [.ready]),
            (
                #"{"run":3,"data":{"text/plain":"2"},"count":1}"#,
                [.event(run: 3, .count(1)), .event(run: 3, .result(ResultBundle(["text/plain": "2"])))]
            ),
            (#"{"run":3,"ended":true}"#, [.ended(run: 3)]),
            (#"{"run":3,"ended":1}"#, []), (#"{"run":-3,"ended":true}"#, []), (#"{"run":"3"}"#, []), ("{", []),
            ("", []),
            (#"{"run":1e9,"ended":true}"#, []),
            (
                #"{"run":1,"error":{"ename":1,"traceback":["a",2]},"ended":true}"#,
                [.event(run: 1, .failed(CodeFailure("Error", "", traceback: ["a"]))), .ended(run: 1)]
            ),
        ] as [(String, [DriverMessage])])
    func `a line of the Python driver means what it says, or nothing`(line: String, messages: [DriverMessage]) {
        #expect(PythonDialogue().message(Array(line.utf8)[...]) == messages)
    }

    @Test(
        arguments: [
            ([:], 44771), (["JUPYTER_PORT": "5000"], 5000), (["JUPYTER_PORT": "x"], nil),
            (["JUPYTER_PORT": "70000"], nil),
            (["JUPYTER_HOST": "http://127.0.0.1:44771"], nil), (["JUPYTER_TOKEN": "t"], nil),
        ] as [([ExactName: String], Int?)])
    func `execd listens for readiness checks only where no Jupyter will`(environment: [ExactName: String], port: Int?) {
        #expect(ReadinessListener.port(environment) { _ in false } == port)
        #expect(ReadinessListener.port(environment) { $0 == "jupyter-server" } == nil)
    }

    @Test(arguments: ["{", #"{"code":" "}"#, #"{"code":7}"#, #"{}"#, #"{"code":"1","context":7}"#])
    func `a run without code is refused`(body: String) {
        #expect(throws: RequestBodyError.self) { try RunCodeRequest.decode(Array(body.utf8)) }
    }

    @Test func `null counts as absent`() throws {
        let body = #"{"code":"1","context":{"id":null,"language":"python","cwd":null}}"#
        #expect(try RunCodeRequest.decode(Array(body.utf8)).context == .init(id: nil, language: "python", cwd: nil))
        #expect(try RunCodeRequest.decode(Array(#"{"code":"1","context":null}"#.utf8)).context == nil)
        #expect(try RunCodeRequest.decode(Array(#"{"code":"1","context":{"id":""}}"#.utf8)).context?.id == nil)
    }
}
