import Testing

@testable import System

@Suite struct LineSplitterTests {
    @Test func `lines are cut wherever the parts end`() throws {
        let text = Array("ab\n\ncde\nf".utf8)
        for size in 1...text.count {
            var splitter = LineSplitter(maxLine: 3), lines: [String] = []
            for start in stride(from: 0, to: text.count, by: size) {
                lines += try splitter.take(text[start..<min(start + size, text.count)])
                    .map { String(decoding: $0, as: UTF8.self) }
            }
            #expect(lines == ["ab", "", "cde"])
        }
        var splitter = LineSplitter(maxLine: 3)
        #expect(throws: LineSplitter.LineTooLong.self) { try splitter.take(Array("abcd".utf8)) }
        var unfinished = LineSplitter(maxLine: 3)
        #expect(try unfinished.take(Array("a\nbc".utf8)) == [[97]])
        #expect(unfinished.takeRest() == [98, 99] && unfinished.takeRest().isEmpty)
    }
}
