@testable import Execd

/// What kernels say: Jupyter's messages, and the lines of execd's own drivers.
enum CodeFuzz {
    static func kernel(_ bytes: UnsafeRawBufferPointer) {
        let body = Array(bytes)
        var events = RunEvents(maxLine: 64)
        var sent: [StreamEvent] = []
        for message in [JupyterMessage(text: body), JupyterMessage(binary: body)].compactMap({ $0 }) {
            var exchange = JupyterExchange(id: message.parent ?? "")
            for outcome in exchange.take(message) {
                if case .event(let event) = outcome { sent += events.take(event, at: 0) }
            }
            promise(!exchange.isOver, "one message has ended a run, which takes two")
        }
        var lines = ControlLines(maxLine: DriverMessage.maxLine)
        for line in lines.append(body + [10]) {
            for dialogue in [PythonDialogue(), ShellCodeDialogue(shell: "/bin/bash")] as [any DriverDialogue] {
                for case .event(_, let event) in dialogue.message(line) { sent += events.take(event, at: 0) }
            }
        }
        sent += events.take(.output(.standardOutput, body), at: 0) + events.finish(after: 0, at: 0)
        let ends = sent.filter { $0.type == "error" || $0.type == "execution_complete" }
        promise(ends.count == 1 && ends == [sent.last!], "a run has one end")
        for event in sent {
            promise(event.record.count <= TextAssembler.maxRecord, "a line is too long")
            promise(event.results?["text"] == event.results?["text/plain"], "two texts")
            promise(event.error.map { Int($0.evalue) == nil } ?? true, "an exit code")
        }
    }
}
