import Testing

@testable import Ingress

@Suite struct ChunkScanTests {
    /// The outcome of a text that comes in pieces; what ends is counted over all of them.
    private func read(_ text: [UInt8], pieces: (Int) -> Int) -> ChunkScan.Outcome {
        var scan = ChunkScan(), place = 0
        while place < text.count {
            let end = min(text.count, place + max(1, pieces(place)))
            switch text[place..<end].withUnsafeBytes({ scan.read($0) }) {
            case .more: place = end
            case .ended(let count): return .ended(place + count)
            case .refused: return .refused
            }
        }
        return .more
    }

    @Test(arguments: [
        ("0\r\n\r\n", 5), ("1\r\nx\r\n0\r\n\r\nrest", 11), ("00A\r\n0123456789\r\n0\r\n\r\n", 22),
        ("0\r\nA: b\r\nC: d\r\n\r\nGET", 17), ("2\r\n\r\n\r\n0\r\n\r\n", 12),
    ])
    func `a body ends where it says, however it comes`(text: String, end: Int) {
        for size in 1...text.utf8.count { #expect(read(Array(text.utf8)) { _ in size } == .ended(end)) }
    }

    @Test(arguments: [
        "1;a\r\n", "1;\r\n", "1 \r\n", " 1\r\n", "1\n", "\r\n", "x\r\n", "+1\r\n", "0x1\r\n", "1\rx", "1\r\nxy",
        "1\r\nx\rz",
        "1\r\nx\n", "0;a\r\n", "1234567890123456\r\n", "1\r\nx\r\n1;a\r\n", "g", "-1\r\n",
    ])
    func `what is no size and CRLF is refused, however it comes`(text: String) {
        for size in 1...text.utf8.count { #expect(read(Array(text.utf8)) { _ in size } == .refused) }
    }

    @Test func `random bodies are read as they were written`() {
        for _ in 0..<2000 {
            var text: [UInt8] = []
            var extended = false
            for _ in 0..<Int.random(in: 0...5) {
                let data = (0..<Int.random(in: 1...40)).map { _ in "\r\n;0aZ".utf8.randomElement()! }
                let zeros = String(repeating: "0", count: Int.random(in: 0...3))
                let size = zeros + String(data.count, radix: 16, uppercase: .random())
                let more = Int.random(in: 0...15) == 0 ? ";x=1" : ""
                extended = extended || !more.isEmpty
                text += Array((size + more + "\r\n").utf8) + data + Array("\r\n".utf8)
            }
            text += Array((Bool.random() ? "0\r\n\r\n" : "0\r\nT: 1\r\n\r\n").utf8)
            let end = text.count
            text += Array("GET / HTTP/1.1\r\n".utf8)
            let outcome = read(text) { _ in Int.random(in: 1...30) }
            #expect(outcome == (extended ? .refused : .ended(end)))
        }
    }

    @Test func `random bytes never crash, and pieces change nothing`() {
        for _ in 0..<20_000 {
            let text = (0..<Int.random(in: 0...30)).map { _ in "01aF;\r\n x".utf8.randomElement()! }
            let whole = read(text) { _ in text.count }
            #expect(read(text) { _ in Int.random(in: 1...4) } == whole)
        }
    }
}

@Suite struct EmptyLineScanTests {
    @Test(arguments: [
        ("a\r\n\r\nb", 5), ("\r\n", 2), ("\n", 1), ("a\n\nb", 3), ("a\r\nb\r\n\r\n", 8), ("x\r\n\rx\r\n\r\n", 9),
    ])
    func `an empty line is found, however it comes`(text: String, end: Int) {
        let bytes = Array(text.utf8)
        for size in 1...bytes.count {
            var scan = EmptyLineScan(), place = 0, found: Int?
            while found == nil, place < bytes.count {
                let stop = min(bytes.count, place + size)
                found = bytes[place..<stop].withUnsafeBytes { scan.end(in: $0) }.map { place + $0 }
                place = stop
            }
            #expect(found == end)
        }
    }
}
