import FoundationEssentials
import JSON
import Spelling
import Testing

@testable import Execd

/// Jupyter's values: where its server is, its kernels, its messages, and a run as they tell of it.
struct JupyterTests {
    @Test(arguments: [
        ("http://127.0.0.1:44771", 44771, ""), ("http://localhost:8888/", 8888, ""), ("http://localhost", 80, ""),
        ("http://127.0.0.1:1/a/b/", 1, "/a/b"),
    ])
    func `a server of the sandbox is taken`(text: String, port: Int, base: String) throws {
        let server = try JupyterServer.named(["JUPYTER_HOST": text, "JUPYTER_TOKEN": "t"])
        #expect(server == JupyterServer(port: port, base: base, token: "t"))
    }

    @Test(arguments: [
        "https://127.0.0.1:1", "http://example.org:80", "http://127.0.0.1:0", "http://127.0.0.1:65536",
        "http://127.0.0.1:1:2", "http://127.0.0.1@example.org", "127.0.0.1:80", "http://", "http://127.0.0.1:80/a b",
        "http://127.0.0.1:80/\r\nX: y", "http://127.0.0.1:80/?q", "http://127.0.0.1:99999999999999999999",
    ])
    func `a server elsewhere, or nowhere, is refused`(text: String) {
        #expect(throws: JupyterServer.SettingError.self) { try JupyterServer.named(["JUPYTER_HOST": text]) }
    }

    @Test func `a token that no header can hold is none`() throws {
        let server = try JupyterServer.named(["JUPYTER_HOST": "http://localhost:1", "JUPYTER_TOKEN": "a\r\nb"])
        #expect(server?.token == nil)
        #expect(try JupyterServer.named([:]) == nil)
    }

    @Test(
        arguments: [
            (#"{"python3":"python"}"#, .python, "python3"),
            (#"{"python3":"python","python":"python"}"#, .python, "python"),
            (#"{"python3":"python","conda":"python"}"#, .python, "conda"), (#"{"python3":"python"}"#, .java, nil),
            (#"{"jslab":"javascript","tslab":"typescript"}"#, .typescript, "tslab"),
            (#"{"deno":"typescript"}"#, .javascript, "deno"),
            (#"{"bash":"bash","":"bash"}"#, .bash, "bash"), ("[]", .bash, nil),
        ] as [(String, KernelLanguage, String?)])
    func `the kernel named like a language goes before others`(
        specs: String, language: KernelLanguage, name: String?
    ) throws {
        let given = try JSONValue(Array(specs.utf8))
        var object = JSONObject()
        if case .object(let named) = given {
            for member in named.members {
                object.set(member.name, .object(["spec": .object(["language": member.value])]))
            }
        }
        #expect(KernelSpecs.name(for: language, in: .object(["kernelspecs": .object(object)])) == name)
        #expect(KernelSpecs.name(for: language, in: given) == nil)
    }

    private func message(_ type: String, _ content: String, parent: String? = "r") throws -> JupyterMessage {
        let before = parent.map { #"{"msg_id":"\#($0)"}"# } ?? "{}"
        let text =
            #"{"header":{"msg_type":"\#(type)"},"parent_header":\#(before),"content":\#(content),"channel":"iopub"}"#
        return try #require(JupyterMessage(text: Array(text.utf8)))
    }

    @Test func `a run is over when its kernel has answered and is idle, in either order`() throws {
        let idle = try message("status", #"{"execution_state":"idle"}"#)
        let reply = try message("execute_reply", #"{"status":"ok","execution_count":4}"#)
        for order in [[idle, reply], [reply, idle]] {
            var exchange = JupyterExchange(id: "r")
            #expect(!exchange.isOver)
            let first = exchange.take(order[0])
            #expect(!exchange.isOver)
            #expect(first + exchange.take(order[1]) == [.event(.count(4))] && exchange.isOver)
        }
    }

    @Test func `a run has begun when its kernel shows the code, not when it is busy`() throws {
        var exchange = JupyterExchange(id: "r")
        for (type, parent) in [("status", "r"), ("execute_input", "other"), ("stream", "r")] {
            _ = exchange.take(try message(type, #"{"execution_state":"busy"}"#, parent: parent))
            #expect(!exchange.hasBegun)
        }
        #expect(exchange.take(try message("execute_input", #"{"code":"1"}"#)) == [] && exchange.hasBegun)
    }

    @Test func `what belongs to another run neither shows nor ends this one`() throws {
        var exchange = JupyterExchange(id: "r")
        for parent in ["other", nil] {
            for (type, content) in [
                ("status", #"{"execution_state":"idle"}"#), ("execute_reply", #"{"status":"ok"}"#),
                ("stream", #"{"name":"stdout","text":"late"}"#), ("error", #"{"ename":"E"}"#),
            ] { #expect(exchange.take(try message(type, content, parent: parent)) == []) }
        }
        #expect(!exchange.isOver && !exchange.isIdle)
        #expect(exchange.take(try message("status", #"{"execution_state":"dead"}"#, parent: "other")) == [])
        #expect(exchange.take(try message("status", #"{"execution_state":"restarting"}"#, parent: nil)) == [.died])
    }

    @Test(
        arguments: [
            ("stream", #"{"name":"stderr","text":"a\nb"}"#, [.event(.output(.standardError, Array("a\nb".utf8)))]),
            ("stream", #"{"name":"stdout","text":7}"#, []),
            ("display_data", #"{"data":{"image/png":"QQ=="}}"#, [.event(.result(ResultBundle(["image/png": "QQ=="])))]),
            (
                "execute_result", #"{"execution_count":2,"data":{"text/plain":"2"}}"#,
                [.event(.count(2)), .event(.result(ResultBundle(["text/plain": "2"])))]
            ),
            (
                "error", #"{"ename":"E","evalue":"v","traceback":null}"#, [.event(.failed(CodeFailure("E", "v")))]
            ),
            (
                "execute_reply", #"{"status":"aborted"}"#,
                [.event(.failed(CodeFailure("Aborted", "the kernel did not run it")))]
            ),
            (
                "execute_reply", #"{"status":"error","ename":"E","evalue":"3"}"#,
                [.event(.failed(CodeFailure("E", "E: 3")))]
            ),
            ("input_request", #"{"prompt":""}"#, [.asksForInput]), ("comm_open", "{}", []), ("clear_output", "{}", []),
            ("status", #"{"execution_state":"busy"}"#, []),
        ] as [(String, String, [JupyterExchange.Outcome])])
    func `a message brings what it tells of`(
        type: String, content: String, outcomes: [JupyterExchange.Outcome]
    ) throws {
        var exchange = JupyterExchange(id: "r")
        #expect(exchange.take(try message(type, content)) == outcomes)
    }

    @Test func `a binary frame's first part is the message`() {
        let json = Array(#"{"header":{"msg_type":"status"},"content":{}}"#.utf8)
        func words(_ numbers: [Int]) -> [UInt8] {
            numbers.flatMap { n in [24, 16, 8, 0].map { UInt8(n >> $0 & 255) } }
        }
        let frame = words([2, 12, 12 + json.count]) + json + [1, 2, 3]
        #expect(JupyterMessage(binary: frame)?.type == "status")
        #expect(JupyterMessage(binary: words([1, 8]) + json)?.type == "status")
        for broken in [
            [], [0, 0, 0], words([0]), words([1]), words([1, 0xffff_ffff]), words([2, 12, 4]) + json,
            words([0xffff_ffff, 8]) + json, words([2, 12, 0xffff_ffff]) + json,
        ] { #expect(JupyterMessage(binary: broken) == nil) }
    }

    @Test func `a request is what a kernel expects`() throws {
        let text = JupyterMessage.executeRequest("m", session: "s", code: "1\n\"2\"", at: 0)
        let value = try JSONValue(text)
        #expect(value["channel"] == .string("shell") && value["header"]?["msg_id"] == .string("m"))
        #expect(value["header"]?["date"] == .string("1970-01-01T00:00:00.000Z"))
        #expect(value["header"]?["version"] == .string("5.3") && value["content"]?["code"] == .string("1\n\"2\""))
        #expect(value["content"]?["allow_stdin"] == .boolean(false) && value["content"]?["silent"] == .boolean(false))
    }

    @Test func `a folder's name cannot become code`() {
        let hostile = "a'; \"\n rm"
        #expect(JupyterKernel.change(to: hostile, in: .python) == #"__import__('os').chdir("a'; \"\n rm")"#)
        #expect(JupyterKernel.change(to: hostile, in: .bash) == "cd -- 'a'\\''; \"\n rm'")
    }
}
