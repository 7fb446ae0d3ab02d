import FoundationEssentials
import HTTPServer
import NIOHTTP1
import Spelling
import System
import Testing

@testable import Execd

@Suite struct TextAssemblerTests {
    private func texts(_ pieces: [String]) -> [String] {
        var assembler = TextAssembler()
        return pieces.flatMap { assembler.append(Array($0.utf8)) } + assembler.finish()
    }

    @Test func `line breaks wait for what follows them`() {
        #expect(texts(["OK\n"]) == ["OK"])
        #expect(texts(["one\ntwo\n"]) == ["one", "\ntwo"])
        #expect(texts(["a\n\nb"]) == ["a", "\n", "\nb"])
        #expect(texts(["\n\n"]) == ["\n"])
        #expect(texts(["no end"]) == ["no end"])
    }

    @Test func `a line waits for its break, or for the end`() {
        var assembler = TextAssembler()
        #expect(assembler.append(Array("1.".utf8)) == [] && assembler.append(Array("2.".utf8)) == [])
        #expect(assembler.append(Array("\n3".utf8)) == ["1.2."])
        #expect(assembler.finish() == ["\n3"] && assembler.finish() == [])
        #expect(texts(["10%\r", "20%\r", "done\r\n"]) == ["10%\r20%\rdone\r"])
    }

    /// What official clients make of the texts: a line break between two that have none at the seam.
    private func joined(_ texts: [String]) -> String {
        var bytes: [UInt8] = []
        for text in texts.map({ Array($0.utf8) }) where !text.isEmpty {
            if let last = bytes.last, ![10, 13].contains(last), ![10, 13].contains(text[0]) { bytes.append(10) }
            bytes += text
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func sent(_ text: String, maxLine: Int) -> [String] {
        var rest = Array(text.utf8)[...]
        var assembler = TextAssembler(maxLine: maxLine)
        var sent: [String] = []
        while !rest.isEmpty {
            let piece = Array(rest.prefix(Int.random(in: 1...5)))
            rest = rest.dropFirst(piece.count)
            sent += assembler.append(piece)
        }
        return sent + assembler.finish()
    }

    private let pool = ["a", "\n", "é", "漢", "🙂", "xyz", "\n\n", " ", "\r", "\r\n"]

    @Test func `however output is cut, clients put it together as it was but for the last line break`() {
        for _ in 0..<2000 {
            let text = (0..<Int.random(in: 0...12)).map { _ in pool.randomElement()! }.joined()
            let wanted = text.utf8.last == 10 ? String(decoding: text.utf8.dropLast(), as: UTF8.self) : text
            #expect(joined(sent(text, maxLine: 64)).utf8.elementsEqual(wanted.utf8))
        }
    }

    @Test func `a line that is too long is cut behind a carriage return, or between characters, and nothing is lost`() {
        var assembler = TextAssembler(maxLine: 8)
        #expect(assembler.append(Array("10%\r20%\r30%\r".utf8)) == ["10%\r20%\r"])
        #expect(assembler.append(Array("123456789".utf8)) == ["30%\r", "12345678"])
        #expect(assembler.append(Array("0é漢漢\n-".utf8)) == ["90é漢", "漢"])
        #expect(assembler.finish() == ["\n-"])
        for _ in 0..<2000 {
            let text = (0..<Int.random(in: 0...30)).map { _ in pool.randomElement()! }.joined()
            let sent = sent(text, maxLine: 7)
            let wanted = text.utf8.last == 10 ? text.utf8.dropLast() : text.utf8[...]
            #expect(sent.joined().utf8.elementsEqual(wanted) && sent.allSatisfy { $0.utf8.count <= 8 })
        }
    }

    @Test(arguments: ["x", "\u{1}", "\"", "漢", "\u{85}", "\u{2028}", "🙂", "\u{7f}", "/"])
    func `no record is longer than clients take, whatever is printed`(text: String) {
        // The limit is 4 MiB; a smaller one takes less time to reach.
        #expect(TextAssembler.maxRecord == 4 << 20)
        var assembler = TextAssembler(maxRecord: 16 << 10)
        let bytes = Array("\n".utf8) + Array(String(repeating: text, count: (20 << 10) / text.utf8.count).utf8)
        let sent = assembler.append(bytes) + assembler.finish()
        #expect(sent.count > 1 && sent.reduce(0) { $0 + $1.utf8.count } == bytes.count)
        for text in sent { #expect(StreamEvent.output(.standardOutput, text, at: .max).record.count <= 16 << 10) }
    }

    @Test func `bytes that are no text are not longer than clients take either`() {
        var assembler = TextAssembler(maxRecord: 16 << 10)
        for text in assembler.append([UInt8](repeating: 0xff, count: 20 << 10)) + assembler.finish() {
            #expect(StreamEvent.output(.standardOutput, text, at: .max).record.count <= 16 << 10)
        }
    }

    @Test func `bytes that are no UTF-8 are replaced, not lost with what is around them`() {
        var assembler = TextAssembler()
        let sent = assembler.append([0x61, 0xff, 0x62, 0xe6, 0xbc]) + assembler.finish()
        #expect(sent.joined() == "a\u{fffd}b\u{fffd}")
    }
}

@Suite struct StreamEventTests {
    @Test func `an event is a bare line of JSON and a blank one, with what clients need`() {
        let bytes = StreamEvent.output(.standardOutput, "a\"\n", at: 7).record
        #expect(
            String(decoding: bytes, as: UTF8.self)
                == "{\"text\":\"a\\\"\\n\",\"timestamp\":7,\"type\":\"stdout\"}\n\n")
    }

    @Test func `whole numbers have neither a point nor an exponent`() throws {
        let time: Int64 = 1_800_000_000_000
        let event = String(decoding: StreamEvent.completed(after: 10_000_000, at: time).record, as: UTF8.self)
        #expect(event == "{\"execution_time\":10000000,\"timestamp\":\(time),\"type\":\"execution_complete\"}\n\n")
        let metrics = SystemMetrics(
            cpu_count: 2, cpu_used_pct: 1.5, mem_total_mib: 3.25, mem_used_mib: 1, timestamp: time)
        let json = String(decoding: try JSONEncoder().encode(metrics), as: UTF8.self)
        #expect(json.contains("\"cpu_count\":2,") || json.contains("\"cpu_count\":2}"))
    }

    @Test func `a reason that repeats what a client sent does not make a record that is too long`() {
        let event = StreamEvent.failed("127", traceback: [String(repeating: "\u{1}", count: 4 << 20)], at: 1)
        #expect(event.record.count < TextAssembler.maxRecord / 16)
    }

    @Test func `characters that some client takes for a line end are escaped`() {
        let text = String(
            decoding: StreamEvent.output(.standardError, "\u{85}\u{2028}\u{2029}\r", at: 1).record,
            as: UTF8.self)
        #expect(text.contains(#"\u0085\u2028\u2029\r"#))
        #expect(text.split(whereSeparator: \.isNewline).count == 1)
    }

    @Test func `a duration of zero is left out`() {
        #expect(
            !String(decoding: StreamEvent.completed(after: 0, at: 1).record, as: UTF8.self).contains(
                "execution_time"))
    }
}

@Suite struct EnvironmentFileTests {
    @Test(arguments: [
        ("A=1", "A", "1"), ("export A=1", "A", "1"), ("A='it is $HOME'", "A", "it is $HOME"),
        (#"A="it's\na \"b\" \\""#, "A", "it's\na \"b\" \\"),
        ("A=1\nA=2", "A", "2"), ("A=a=b ", "A", "a=b"), ("A=", "A", ""), ("A=1\r\n", "A", "1"),
        ("A='one\ntwo'\nB=3", "A", "one\ntwo"), ("A=\"one\ntwo\"", "A", "one\ntwo"),
        ("A=$P/x", "A", "/p/x"), ("A=\"${P}\"", "A", "/p"), (#"A="\$P""#, "A", "$P"), ("P=/a:$P\nA=$P", "A", "/a:/p"),
        ("A=it costs $5", "A", "it costs "), (#"A="a\xb""#, "A", #"a\xb"#), ("A=''", "A", ""),
    ])
    func `an assignment is read`(line: String, name: String, value: String) {
        #expect(EnvironmentFile.parse(line, over: ["P": "/p"])[ExactName(name)] == value)
    }

    @Test(arguments: ["A='never ended", "A=\"never ended\\", "A='x' y", "A=\"x\"y", "A='a\nb' c"])
    func `a malformed entry is passed over, and those behind it are read`(text: String) {
        #expect(EnvironmentFile.parse("B=1\n\(text)\nC=2")["A"] == nil)
        let read = EnvironmentFile.parse("B=1\n\(text)\nC=2")
        #expect(read["B"] == "1" && read["C"] == "2", "\(read)")
    }

    @Test func `a file of nothing but open quotes costs no more than its length`() {
        let text = String(repeating: "A='\\\nB=\"\\\"\n", count: 40_000)
        #expect(EnvironmentFile.parse(text).count <= 2)
    }

    @Test func `what is no assignment is passed over`() {
        #expect(EnvironmentFile.parse("# A=1\nnothing\n=4\nB=5\nA\0=1\nC=\0") == ["B": "5"])
    }

    @Test func `a name is anything without an equals sign, as everywhere`() throws {
        let file = EnvironmentFile.parse("1A=2\nA B=3\na.b-c=4\né=5\nX=\u{301}6")
        #expect(file == ["1A": "2", "A B": "3", "a.b-c": "4", "é": "5", "X": "\u{301}6"])
        for name in ["1A", "A B", "a.b-c", "é", "PATH", "$(x)"] {
            #expect(VariableName.isValid(name))
            let request = try CommandRequest.decode(Array(#"{"command":"x","envs":{"\#(name)":"v"}}"#.utf8))
            #expect(request.envs == [ExactName(name): "v"])
        }
        for name in ["", "=", "A=B", "A=\u{301}", "A\0"] { #expect(!VariableName.isValid(name)) }
    }

    @Test func `a session exports what its shell has names for, and nothing in a name is run`() {
        let line = ShellDialogue.line(
            run: 1, "true", folder: nil, variables: ["A_1": "x", "a.b": "y", "x; touch /tmp/z #": "z", "1": "w"])
        #expect(line.hasPrefix("export A_1='x'; eval 'true'"))
    }
}

@Suite struct CommandRequestTests {
    @Test(arguments: [
        "", "{", "[]", "{}", #"{"command":""}"#, #"{"command":"  "}"#, #"{"argv":[]}"#, #"{"argv":[""]}"#,
        #"{"command":"a","argv":["b"]}"#,
        #"{"command":"a","gid":1}"#, #"{"command":"a","timeout":-1}"#, #"{"command":"a","uid":-1}"#, #"{"command":7}"#,
        #"{"command":"a","envs":{"A=B":"c"}}"#, #"{"command":"a","envs":{"":"c"}}"#,
        #"{"command":"a","envs":{"A\u0000":"c"}}"#, #"{"command":"a\u0000b"}"#,
    ])
    func `a malformed request is refused`(body: String) {
        #expect(throws: RequestBodyError.self) { try CommandRequest.decode(Array(body.utf8)) }
    }

    /// Kotlin's client writes each field that is not set.
    @Test func `explicit nulls are as if nothing was said`() throws {
        let nulls = ["cwd", "background", "timeout", "uid", "gid", "envs", "stdin", "stdin_open", "argv"]
        let fields = nulls.map { "\"\($0)\":null" }.joined(separator: ",")
        let request = try CommandRequest.decode(Array("{\"command\":\"a\",\(fields)}".utf8))
        #expect(try request == CommandRequest.decode(Array(#"{"command":"a"}"#.utf8)))
        let run = try SessionRunRequest.decode(Array(#"{"command":"a","cwd":null,"timeout":null}"#.utf8))
        #expect(run.cwd == nil && run.timeout == nil)
        #expect(try SessionRequest.decode(Array(#"{"cwd":null}"#.utf8)).cwd == nil)
    }

    @Test func `two spellings of one name are two variables and two files`() throws {
        let body = #"{"command":"x","envs":{"\u00e9":"one","e\u0301":"two","K":"3","\u212a":"4"}}"#
        let request = try CommandRequest.decode(Array(body.utf8))
        let spec = request.spec(in: CommandEnvironment(["\u{e9}": "file", "PATH": "/bin"], shell: "/bin/sh"))
        #expect(
            spec.environment == ["\u{e9}": "one", "e\u{301}": "two", "K": "3", "\u{212a}": "4", "PATH": "/bin"])
        #expect(EnvironmentFile.parse("\u{e9}=1\ne\u{301}=2") == ["\u{e9}": "1", "e\u{301}": "2"])
        let answer = Reply.json(.ok, byName: [("/\u{e9}", 1), ("/e\u{301}", 2)])
        #expect(answer.bytes == Array("{\"/\u{e9}\":1,\"/e\u{301}\":2}".utf8))
    }

    @Test func `variables of the request go over those of the file`() throws {
        let request = try CommandRequest.decode(Array(#"{"command":"x","envs":{"A":"request"},"uid":5}"#.utf8))
        let spec = request.spec(in: CommandEnvironment(["A": "file", "B": "file", "PATH": "/bin"], shell: "/bin/sh"))
        #expect(spec.environment == ["A": "request", "B": "file", "PATH": "/bin"])
        #expect(spec.arguments == ["/bin/sh", "-c", "x"] && spec.user == 5 && spec.group == 5)
    }
}

@Suite struct EndReportTests {
    @Test func `a report is one line`() {
        #expect(EndReport.End.ended(.exited(3)).line == "exited 3\n")
        #expect(EndReport.End.ended(.signalled(9)).line == "signalled 9\n")
        let failure = SpawnError(program: "/a\nb", code: 2)
        #expect(EndReport.End.notStarted(failure).line == "failed 2 /ab\n")
    }
}

@Suite struct SystemMetricsTests {
    @Test func `processor use is the busy part of the ticks in between`() {
        let earlier = ProcessorTime(procStat: "cpu  100 0 100 800 0 0 0 0 0 0\n")
        let later = ProcessorTime(procStat: "cpu  150 0 100 850 0 0 0 0 0 0\n")
        #expect(later.used(since: earlier) == 50)
        #expect(earlier.used(since: later) == 0)
        #expect(ProcessorTime(procStat: "").used(since: earlier) == 0)
    }

    @Test func `memory is read in KiB`() {
        let memory = Memory(memInfo: "MemTotal:  2048 kB\nMemFree: 1 kB\nMemAvailable:  512 kB\n")
        #expect(memory.total == 2048 && memory.available == 512)
    }

    @Test(arguments: [
        [
            "cpu.max": "150000 100000\n", "cpu.stat": "usage_usec 42\nuser_usec 40\n", "memory.max": "1048576\n",
            "memory.current": "524288\n", "memory.stat": "anon 1\ninactive_file 131072\n",
        ],
        [
            "cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n", "cpuacct/cpuacct.usage": "42000\n",
            "memory/memory.limit_in_bytes": "1048576\n", "memory/memory.usage_in_bytes": "524288\n",
            "memory/memory.stat": "inactive_file 1\ntotal_inactive_file 131072\n",
        ],
    ])
    func `a group of either version says what it may use and has used`(files: [String: String]) {
        let group = GroupUse { files[$0] }
        #expect(group.processors == 1.5 && group.processorTime == 42)
        #expect(group.memoryLimit == 1 << 20 && group.memoryUsed == 384 << 10)
        let memory = Memory(memInfo: "MemTotal: 4096 kB\nMemAvailable: 4000 kB\n").limited(by: group)
        #expect(memory.total == 1024 && memory.available == 640)
    }

    @Test(arguments: [
        ["cpu.max": "max 100000\n", "memory.max": "max\n"],
        ["cpu/cpu.cfs_quota_us": "-1\n", "memory/memory.limit_in_bytes": "9223372036854771712\n"],
        ["cpu.max": "1e308 1e-308\n", "memory.max": "-1\n"], ["cpu.max": "x\n"], [:],
    ])
    func `a group without limits leaves the machine's memory and processors`(files: [String: String]) {
        let group = GroupUse { files[$0] }
        #expect(group.processors == nil)
        let machine = Memory(memInfo: "MemTotal: 4096 kB\nMemAvailable: 4000 kB\n")
        #expect(machine.limited(by: group) == machine)
    }
}
