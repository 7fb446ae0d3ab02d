import FoundationEssentials
import NIOCore
import Testing

@testable import Execd

@Suite struct ExecutionOutputTests {
    @Test func `output becomes events where it is read, and waits for its client`() async {
        let record = CommandRecord(id: "x", content: "", startedAt: 0)
        let output = ExecutionOutput(record, maxLine: 100)
        func print(_ stream: OutputStream, _ text: String) {
            Array(text.utf8).withUnsafeBytes { output.take(stream, $0) }
        }
        print(.standardOutput, "no end")
        #expect(record.current.waiting == 0)
        print(.standardOutput, " yet\nnext\nla")
        print(.standardError, "other\n")
        output.end()
        var parts: [String] = []
        for await part in output.parts {
            parts.append(String(buffer: part))
            record.consumed(part.readableBytes)
        }
        #expect(parts.count == 2 && record.current.waiting == 0)
        #expect(parts[0].contains(#""text":"no end yet""#) && parts[0].contains(#""text":"\nnext""#))
        #expect(parts[1].contains(#""text":"other""#) && parts[1].contains(#""type":"stderr""#))
        #expect(output.rest(at: 0).map(\.text) == ["\nla"])
    }

    private struct Event: Decodable { var text: String }

    @Test(arguments: [8, 5000, TextAssembler.defaultLongestLine])
    func `lines that are taken together are the events that they would be one by one`(_ maxLine: Int) async throws {
        let words = ["\n", "\n", "plain", " words of a line", "\"", "\\", "\r", "é", "\u{2028}", "\u{1}", ""]
        for round in 0..<200 {
            let output = ExecutionOutput(CommandRecord(id: "x", content: "", startedAt: 0), maxLine: maxLine)
            var texts = TextAssembler(maxLine: maxLine), expected: [String] = []
            // Of some the lines are plain, and of some longer than what is looked at together.
            let chosen = round % 3 == 0 ? Array(words[..<4]) : words + [String(repeating: "x", count: 4095 + round % 3)]
            for _ in 0..<8 {
                let piece = Array((0..<Int.random(in: 1...40)).map { _ in chosen.randomElement()! }.joined().utf8)
                piece.withUnsafeBytes { output.take(.standardOutput, $0) }
                expected += texts.append(piece)
            }
            output.end()
            var found: [String] = []
            for await part in output.parts {
                for line in part.readableBytesView.split(separator: 10) {
                    found.append(try JSONDecoder().decode(Event.self, from: Data(line)).text)
                }
            }
            #expect(found.map { Array($0.utf8) } == expected.map { Array($0.utf8) })
            #expect(output.rest(at: 0).map(\.text) == texts.finish())
        }
    }
}
