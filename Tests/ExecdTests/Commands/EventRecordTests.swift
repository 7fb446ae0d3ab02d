import FoundationEssentials
import NIOCore
import Testing

@testable import Execd

@Suite struct EventRecordTests {
    private struct Read: Decodable, Equatable { var text: String, timestamp: Int, type: String }

    private static let texts = [
        "", "plain", "a\"b\\c/d", "\u{0}\u{1}\u{1f}\u{7f}\t\r\n", "é\u{85}\u{2028}\u{2029}\u{2027}\u{c2}",
        "日本\u{1F600}",
        String(repeating: "x\u{2028}", count: 1000),
    ]

    private func record(_ hasBreak: Bool, _ text: [UInt8], _ stream: OutputStream) -> [UInt8] {
        var record = ByteBuffer()
        text.withUnsafeBytes { text in
            EventRecord.ending(stream, at: 7).withUnsafeBytes {
                EventRecord.appendOutput(hasBreak: hasBreak, text, ending: $0, to: &record)
            }
        }
        return Array(record.readableBytesView)
    }

    @Test(arguments: texts, [false, true]) func `output is encoded as any event is`(_ text: String, _ hasBreak: Bool)
        throws
    {
        for stream in [OutputStream.standardOutput, .standardError] {
            let event = StreamEvent.output(stream, (hasBreak ? "\n" : "") + text, at: 7)
            for line in [record(hasBreak, Array(text.utf8), stream), event.record] {
                #expect(line.suffix(2) == [10, 10] && !line.dropLast(2).contains(10))
                let read = try JSONDecoder().decode(Read.self, from: Data(line.dropLast(2)))
                #expect(read == Read(text: event.text!, timestamp: 7, type: event.type))
                let scalars = String(decoding: line, as: UTF8.self).unicodeScalars
                #expect(!scalars.contains { ["\u{85}", "\u{2028}", "\u{2029}"].contains($0) })
            }
        }
    }

    /// Long texts are encoded in parts.
    @Test func `characters that lie across two parts stay whole`() throws {
        for character in ["\u{85}", "\u{2028}", "\u{2029}", "\u{2027}", "\"", "\u{1f}", "\u{1F600}"] {
            for place in 4089..<4100 {
                let text = String(repeating: "x", count: place) + character + String(repeating: "y", count: 4100)
                let line = record(true, Array(text.utf8), .standardOutput)
                #expect(try JSONDecoder().decode(Read.self, from: Data(line)).text == "\n" + text)
                #expect(line.count <= text.utf8.count + 100)
            }
        }
    }

    /// Bytes are looked at eight at a time, then one by one.
    @Test func `any byte at any place of a word is encoded as any event is`() throws {
        var wrong: [String] = []
        for byte in UInt8.min...UInt8.max {
            for place in 0..<9 {
                var text = [UInt8](repeating: UInt8(ascii: "x"), count: 9)
                text[place] = byte
                let read = try JSONDecoder().decode(Read.self, from: Data(record(false, text, .standardOutput)))
                if read.text != String(decoding: text, as: UTF8.self) { wrong.append("\(byte) at \(place)") }
            }
        }
        #expect(wrong.isEmpty)
    }

    @Test func `what is not UTF-8 is replaced`() throws {
        let line = record(false, [0x61, 0xff, 0x62, 0xe2, 0x80], .standardOutput)
        #expect(try JSONDecoder().decode(Read.self, from: Data(line)).text == "a\u{fffd}b\u{fffd}")
    }
}
