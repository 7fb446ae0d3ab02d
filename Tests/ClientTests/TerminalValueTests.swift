import Testing

@testable import Client

@Suite struct TerminalValueTests {
    private func typed(_ pieces: String...) -> (sent: String, leaves: Bool) {
        var input = EscapedInput(), sent: [UInt8] = []
        for piece in pieces {
            let taken = input.take(Array(piece.utf8))
            sent += taken.bytes
            if taken.leaves { return (String(decoding: sent, as: UTF8.self), true) }
        }
        return (String(decoding: sent, as: UTF8.self), false)
    }

    @Test func `the way out is taken at the beginning of a line alone, however the keys come`() {
        #expect(typed("~.") == ("", true) && typed("ls\r~", ".rest") == ("ls\r", true))
        #expect(typed("ls\n~.") == ("ls\n", true) && typed("\u{7f}", "\r", "~", ".") == ("\u{7f}\r", true))
        #expect(typed("cd ~.\r") == ("cd ~.\r", false) && typed("x~.") == ("x~.", false))
    }

    @Test func `a tilde is not lost, and two at the beginning of a line are one`() {
        #expect(typed("~/bin/x\r") == ("~/bin/x\r", false) && typed("~", "/bin") == ("~/bin", false))
        #expect(typed("~~.") == ("~.", false) && typed("\r~~/x") == ("\r~/x", false))
        #expect(typed("~\r~.") == ("~\r", true), "a line of one tilde ends, too")
    }

    @Test func `output is told from what says its offset, and from what says nothing`() {
        #expect(
            TerminalEvent(binary: [1, 65, 66]) == .output([65, 66]) && TerminalEvent(binary: [2, 65]) == .output([65]))
        #expect(TerminalEvent(binary: [3, 0, 0, 0, 0, 0, 0, 0, 9, 65]) == .output([65]))
        for odd: [UInt8] in [[], [0, 65], [9, 65]] { #expect(TerminalEvent(binary: odd) == .other) }
        for short: [UInt8] in [[1], [3], [3, 0, 0]] { #expect(TerminalEvent(binary: short) == .output([])) }
    }

    @Test func `the end has the status that a shell would give it`() {
        #expect(TerminalEvent(text: #"{"type":"exit","exit_code":3}"#) == .ended(3))
        #expect(TerminalEvent(text: #"{"type":"exit","exit_code":-1,"signal":"SIGKILL"}"#) == .ended(137))
        for odd in ["-1", "256", "1e9", "\"x\"", "9223372036854775807"] {
            #expect(TerminalEvent(text: #"{"type":"exit","exit_code":\#(odd)}"#) == .ended(255), "\(odd)")
        }
        #expect(TerminalEvent(text: #"{"type":"exit","signal":"SIGNONE"}"#) == .ended(255))
        #expect(TerminalEvent(text: #"{"type":"error","error":"no","code":"X"}"#) == .failed("no"))
        for odd in ["", "x", "[]", "{}", #"{"type":1}"#, #"{"type":"connected"}"#] {
            #expect(TerminalEvent(text: odd) == .other, "\(odd)")
        }
    }

    @Test func `words reach a program as they are`() {
        #expect(ShellWords.command(["ls", "-l"]) == "exec 'ls' '-l'")
        #expect(ShellWords.command(["it's", "", "$x;`y`"]) == #"exec 'it'\''s' '' '$x;`y`'"#)
    }

    @Test func `a terminal that does not know its size has the usual one`() {
        #expect(TerminalSize(columns: 0, rows: 0) == TerminalSize(columns: 80, rows: 24))
        #expect(TerminalSize(columns: 132, rows: 43).message == #"{"type":"resize","cols":132,"rows":43}"#)
    }

    @Test func `a line of progress fits its terminal, and shows nothing that moves it`() {
        let text = ProgressText("pulling registry.example/team/tool:1", columns: 20)
        let line = text.line(seconds: 75)
        #expect(line.hasPrefix("\r\u{1b}[K") && line.hasSuffix(" 75s") && line.dropFirst(4).count < 20)
        #expect(ProgressText("a\u{1b}[2J\nb", columns: 80).line(seconds: 1).dropFirst(4).allSatisfy { $0 >= " " })
        for columns in 0...3 {
            #expect(ProgressText("x", columns: columns).line(seconds: 9).dropFirst(4).count <= max(columns, 1))
        }
    }
}
