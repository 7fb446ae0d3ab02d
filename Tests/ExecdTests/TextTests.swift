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

    @Test func `however output is cut, its text is whole but for the last line break`() {
        let pool = ["a", "\n", "é", "漢", "🙂", "xyz", "\n\n", " "]
        for _ in 0..<2000 {
            let text = (0..<Int.random(in: 0...12)).map { _ in pool.randomElement()! }.joined()
            var rest = Array(text.utf8)[...]
            var assembler = TextAssembler()
            var sent = ""
            while !rest.isEmpty {
                let piece = Array(rest.prefix(Int.random(in: 1...5)))
                rest = rest.dropFirst(piece.count)
                sent += assembler.append(piece).joined()
            }
            sent += assembler.finish().joined()
            #expect(sent == (text.hasSuffix("\n") ? String(text.dropLast()) : text))
        }
    }

    @Test func `bytes that are no UTF-8 are replaced, not lost with what is around them`() {
        var assembler = TextAssembler()
        let sent = assembler.append([0x61, 0xff, 0x62, 0xe6, 0xbc]) + assembler.finish()
        #expect(sent.joined() == "a\u{fffd}b\u{fffd}")
    }
}

@Suite struct StreamEventTests {
    @Test func `an event is one line and a blank one, with what clients need`() {
        let bytes = StreamEvent.output(.standardOutput, "a\"\n", at: 7).serverSentBytes
        #expect(
            String(decoding: bytes, as: UTF8.self)
                == "data: {\"text\":\"a\\\"\\n\",\"timestamp\":7,\"type\":\"stdout\"}\n\n")
    }

    @Test func `characters that some client takes for a line end are escaped`() {
        let text = String(
            decoding: StreamEvent.output(.standardError, "\u{85}\u{2028}\u{2029}\r", at: 1).serverSentBytes,
            as: UTF8.self)
        #expect(text.contains(#"\u0085\u2028\u2029\r"#))
        #expect(text.split(whereSeparator: \.isNewline).count == 1)
    }

    @Test func `a duration of zero is left out`() {
        #expect(
            !String(decoding: StreamEvent.completed(after: 0, at: 1).serverSentBytes, as: UTF8.self).contains(
                "execution_time"))
    }
}

@Suite struct EnvironmentFileTests {
    @Test(arguments: [
        ("A=1", "A", "1"), ("export A=1", "A", "1"), ("A='it is $HOME'", "A", "it is $HOME"),
        (#"A="it's\na \"b\" \\""#, "A", "it's\na \"b\" \\"),
        ("A=1\nA=2", "A", "2"), ("A=a=b ", "A", "a=b"), ("A=", "A", ""),
    ])
    func `an assignment is read`(line: String, name: String, value: String) {
        #expect(EnvironmentFile.parse(line)[name] == value)
    }

    @Test func `what is no assignment is passed over`() {
        #expect(EnvironmentFile.parse("# A=1\n1A=2\nA B=3\nnothing\n=4\nB=5") == ["B": "5"])
    }
}

@Suite struct CommandRequestTests {
    @Test(arguments: [
        "", "{", "[]", "{}", #"{"command":""}"#, #"{"command":"  "}"#, #"{"argv":[]}"#, #"{"argv":[""]}"#,
        #"{"command":"a","argv":["b"]}"#,
        #"{"command":"a","gid":1}"#, #"{"command":"a","timeout":-1}"#, #"{"command":"a","uid":-1}"#, #"{"command":7}"#,
        #"{"command":"a","envs":{"A B":"c"}}"#, #"{"command":"a\u0000b"}"#,
    ])
    func `a malformed request is refused`(body: String) {
        #expect(throws: InvalidRequest.self) { try CommandRequest.decode(Array(body.utf8)) }
    }

    @Test func `variables of the request go over those of the file`() throws {
        let request = try CommandRequest.decode(Array(#"{"command":"x","envs":{"A":"request"},"uid":5}"#.utf8))
        let spec = request.spec(shell: "/bin/sh", environment: ["A": "file", "B": "file"])
        #expect(spec.environment == ["A": "request", "B": "file"])
        #expect(spec.arguments == ["/bin/sh", "-c", "x"] && spec.user == 5 && spec.group == 5)
    }
}

@Suite struct OptionsTests {
    @Test func `everything after the dashes is the entrypoint`() throws {
        let options = try Options.parse(["--port", "1234", "--", "sleep", "--port", "9"])
        #expect(options.port == 1234 && options.entrypoint == ["sleep", "--port", "9"])
    }

    @Test(arguments: [["--port"], ["--port", "x"], ["--port", "70000"], ["--"], ["sleep"], ["--token-file"]])
    func `a malformed command line is refused`(arguments: [String]) {
        #expect(throws: Options.Invalid.self) { try Options.parse(arguments) }
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
}
