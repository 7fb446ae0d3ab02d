import NIOCore
import System
import Spelling
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

struct TerminalMessageTests {
    @Test(arguments: [
        (#"{"type":"stdin","data":"ls\n"}"#, TerminalMessage.input(Array("ls\n".utf8))),
        (#"{"type":"stdin","data":""}"#, .nothing), (#"{"type":"stdin"}"#, .nothing),
        (#"{"type":"signal","signal":"SIGINT"}"#, .signal(SIGINT)),
        (#"{"type":"signal","signal":"SIGSTOP"}"#, .nothing), (#"{"type":"signal","signal":2}"#, .nothing),
        (#"{"type":"resize","cols":120,"rows":40}"#, .resize(TerminalSize(columns: 120, rows: 40))),
        (#"{"type":"resize","cols":0,"rows":40}"#, .nothing), (#"{"type":"resize","cols":65536,"rows":40}"#, .nothing),
        (#"{"type":"resize","cols":-1,"rows":40}"#, .nothing), (#"{"type":"resize","cols":1.5,"rows":40}"#, .nothing),
        (#"{"type":"resize","cols":9223372036854775808,"rows":1}"#, .nothing),
        (#"{"type":"ping"}"#, .ping), (#"{"type":"reboot"}"#, .unknown("reboot")), ("{}", .unknown("")),
        (#"{"type":null}"#, .unknown("")), (#"{"type":7}"#, .nothing), ("[]", .nothing), ("7", .nothing),
        ("no JSON", .nothing), ("", .nothing), (#"{"type":"ping""#, .nothing),
    ])
    func `a text message has one meaning, or none`(text: String, message: TerminalMessage) {
        #expect(TerminalMessage(text: text) == message)
    }

    @Test func `a binary message is input, or nothing`() {
        #expect(TerminalMessage(binary: [0, 1, 2]) == .input([1, 2]))
        for bytes in [[], [0], [1, 65], [3], [255, 0]] as [[UInt8]] {
            #expect(TerminalMessage(binary: bytes) == .nothing)
        }
    }

    @Test func `notices are the contract's JSON`() {
        #expect(TerminalNotice.pong.text == #"{"type":"pong"}"#)
        #expect(TerminalNotice.exit(.exited(0)).text == #"{"exit_code":0,"type":"exit"}"#)
        #expect(
            TerminalNotice.exit(.signalled(SIGKILL)).text == #"{"exit_code":-1,"signal":"SIGKILL","type":"exit"}"#)
        #expect(TerminalNotice.exit(.signalled(40)).text == #"{"exit_code":-1,"signal":"SIG40","type":"exit"}"#)
        #expect(
            TerminalNotice.connected("a", .pipe, .viewer).text
                == #"{"mode":"pipe","role":"viewer","session_id":"a","type":"connected"}"#)
        #expect(TerminalNotice.error("X", "why").text == #"{"code":"X","error":"why","type":"error"}"#)
    }

    @Test(arguments: [
        ("", 0), ("17", 17), ("-5", 0), ("abc", 0), ("12abc", 12), ("+3", 0),
        ("99999999999999999999999999", Int.max), ("9223372036854775807", Int.max),
    ])
    func `since is what its digits say`(text: String, offset: Int) {
        #expect(TerminalQuery { $0 == "since" ? text : nil }.since == offset)
    }

    @Test func `the other parameters mean one value each`() {
        func query(_ name: String, _ value: String) -> TerminalQuery { TerminalQuery { $0 == name ? value : nil } }
        #expect(query("pty", "0").mode == .pipe && query("pty", "00").mode == .pty && query("pty", "").mode == .pty)
        #expect(query("takeover", "1").takesOver && !query("takeover", "true").takesOver)
        #expect(query("mode", "viewer").role == .viewer && query("mode", "Viewer").role == .holder)
    }

    @Test func `a body may be absent, and says what is wrong with it`() throws {
        #expect(try TerminalRequest.decode([]) == TerminalRequest())
        #expect(try TerminalRequest.decode(Array("{}".utf8)).size == .standard)
        let all = #"{"cwd":"/a","command":"b","envs":{"A":"1"},"uid":5,"gid":6,"cols":10,"rows":20,"else":[1]}"#
        #expect(try TerminalRequest.decode(Array(all.utf8)).size == TerminalSize(columns: 10, rows: 20))
        for body in [
            "{", #"{"cols":0}"#, #"{"rows":70000}"#, #"{"gid":1}"#, #"{"uid":4294967295}"#, #"{"envs":{"":"1"}}"#,
            #"{"command":"a\u0000b"}"#, #"{"cwd":7}"#,
        ] {
            #expect(throws: RequestBodyError.self, "\(body)") { try TerminalRequest.decode(Array(body.utf8)) }
        }
    }

    @Test(arguments: [
        ("$A/b", "x y/b"), ("${A}b", "x yb"), ("$AB", ""), ("$", "$"), ("a$/b", "a$/b"), ("${A", "${A"), ("${}", "${}"),
        ("$A$A", "x yx y"), ("~/${B}", "~/é"),
    ])
    func `variables of a folder's name are replaced, and nothing else`(text: String, expanded: String) {
        #expect(VariableReferences.expand(text, ["A": "x y", "B": "é"]) == expanded)
    }
}
