import FoundationEssentials
import Logging
import Synchronization
import Testing

@testable import LogLines

@Suite struct ForeignTextInLogsTests {
    private let foreign = "ok\n2026-01-01 error: \u{1b}[2J\u{202e}\u{2028}"
    private let shown = #"ok\n2026-01-01 error: \u{1b}[2J\u{202e}\u{2028}"#

    private func event(_ metadata: Logger.Metadata) -> LogEvent {
        LogEvent(
            level: .info, message: "\(foreign)", metadata: metadata, source: nil, file: "", function: "", line: 1)
    }

    @Test func `lines for people have one line, in message and metadata`() {
        let event = TextLogHandler.escaped(event(["a": "\(foreign)", "b": ["\(foreign)"], "c": ["d": "\(foreign)"]]))
        for text in ["\(event.message)"] + (event.metadata ?? [:]).values.map({ "\($0)" }) {
            #expect(text.unicodeScalars.allSatisfy { (" "..."~").contains($0) }, "\(text.debugDescription)")
        }
        #expect("\(event.message)" == shown && event.metadata?["a"] == .string(shown))
        var handler = TextLogHandler(label: "t")
        handler[metadataKey: "x"] = "\(foreign)"
        #expect(handler.metadata["x"] == .string(shown))
    }

    @Test func `lines for collectors say the same`() throws {
        let written = Mutex<[UInt8]>([])
        var handler = JSONLogHandler(label: "t")
        handler.write = { line in written.withLock { $0 += line } }
        handler.log(event: event(["a": "\(foreign)"]))
        let line = written.withLock { $0 }
        #expect(line.allSatisfy { (0x20..<0x7f).contains($0) || $0 == 10 } && line.filter { $0 == 10 }.count == 1)
        let fields = try JSONDecoder().decode([String: String].self, from: Data(line))
        #expect(fields["message"] == shown && fields["a"] == shown)
    }
}
