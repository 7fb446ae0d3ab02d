import Testing

@testable import Client

@Suite struct CommandOutputTests {
    private func read(_ lines: String...) -> (output: String, errors: String, last: CommandOutput.Step?) {
        var output = CommandOutput()
        var (out, err) = ([UInt8](), [UInt8]())
        var last: CommandOutput.Step?
        for line in lines {
            switch output.take(Array(line.utf8)) {
            case .output(let bytes): out += bytes
            case .errors(let bytes): err += bytes
            case let step?: last = step
            case nil: break
            }
        }
        let rest = output.rest
        return (
            String(decoding: out + rest.output, as: UTF8.self), String(decoding: err + rest.errors, as: UTF8.self), last
        )
    }

    @Test func `texts are joined by the breaks that were printed`() {
        let read = read(
            #"{"type":"init","text":"a1","timestamp":1}"#, #"{"type":"stdout","text":"one","timestamp":1}"#,
            #"{"type":"stdout","text":"\ntwo","timestamp":1}"#, #"{"type":"ping","text":"pong","timestamp":1}"#,
            #"{"type":"stderr","text":"bad","timestamp":1}"#, #"{"type":"stdout","text":"three","timestamp":1}"#,
            #"{"type":"execution_complete","timestamp":1}"#)
        #expect(read.output == "one\ntwo\nthree\n" && read.errors == "bad\n" && read.last == .ended(0))
    }

    @Test func `nothing printed is nothing shown`() {
        let read = read(#"{"type":"execution_complete","timestamp":1}"#)
        #expect(read.output.isEmpty && read.errors.isEmpty)
    }

    @Test func `an exit status is a number, another reason a failure`() {
        #expect(read(#"{"type":"error","error":{"ename":"x","evalue":"42"}}"#).last == .ended(42))
        #expect(
            read(#"{"type":"error","error":{"ename":"x","evalue":"no such program"}}"#).last
                == .failed("no such program"))
    }

    @Test(arguments: ["", "data:", "{", "null", #"{"type":7}"#, #"{"type":"stdout","text":7}"#, "\u{0}"])
    func `what is no event traps nothing`(_ line: String) {
        var output = CommandOutput()
        switch output.take(Array(line.utf8)) {
        case nil: break
        case .output(let bytes)?: #expect(bytes.isEmpty)
        case let step?: Issue.record("\(step)")
        }
    }

    @Test func `a line of an event stream is read, too`() {
        var output = CommandOutput()
        #expect(output.take(Array(#"data: {"type":"stdout","text":"x"}"#.utf8)) == .output(Array("x".utf8)))
    }
}
