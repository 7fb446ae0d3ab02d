import Testing

@testable import HTTPWire

@Suite struct ChunkDecoderTests {
    /// The body of chunks that come in pieces, and how much they take; nil where they are refused.
    private func read(_ text: [UInt8], pieces: () -> Int) -> (body: [UInt8], end: Int?)? {
        var decoder = ChunkDecoder(), place = 0, body: [UInt8] = []
        while place < text.count {
            let piece = text[place..<min(text.count, place + max(1, pieces()))]
            guard let step = try? piece.withUnsafeBytes({ try decoder.next($0) }) else { return nil }
            switch step {
            case .more(let skip): place += skip
            case .data(let skip, let count):
                body += text[(place + skip)..<(place + skip + count)]
                place += skip + count
            case .trailers(let skip): return (body, place + skip)
            }
        }
        return (body, nil)
    }

    @Test func `random bodies are read as they were written`() {
        for _ in 0..<2000 {
            var text: [UInt8] = [], written: [UInt8] = []
            var extended = false
            for _ in 0..<Int.random(in: 0...5) {
                let data = (0..<Int.random(in: 1...40)).map { _ in "\r\n;0aZ".utf8.randomElement()! }
                let zeros = String(repeating: "0", count: Int.random(in: 0...3))
                let size = zeros + String(data.count, radix: 16, uppercase: .random())
                let more = Int.random(in: 0...15) == 0 ? ";x=1" : ""
                extended = extended || !more.isEmpty
                written += data
                text += Array((size + more + "\r\n").utf8) + data + Array("\r\n".utf8)
            }
            text += Array("0\r\n".utf8)
            let end = text.count
            text += Array("\r\nGET / HTTP/1.1\r\n".utf8)
            let outcome = read(text) { Int.random(in: 1...30) }
            #expect(outcome?.body == (extended ? nil : written) && outcome?.end == (extended ? nil : end))
        }
    }

    @Test func `random bytes never crash, and pieces change nothing`() {
        for _ in 0..<20_000 {
            let text = (0..<Int.random(in: 0...30)).map { _ in "01aF;\r\n x".utf8.randomElement()! }
            let whole = read(text) { text.count }, cut = read(text) { Int.random(in: 1...4) }
            #expect(cut?.body == whole?.body && cut?.end == whole?.end)
        }
    }
}
