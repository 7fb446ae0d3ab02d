import Testing

@testable import Execd

struct OutputRingTests {
    private func ring(_ count: Int, pieces: Int, grant: (Int) -> Bool = { _ in true }) -> OutputRing {
        var ring = OutputRing()
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        for start in stride(from: 0, to: count, by: pieces) {
            bytes[start..<min(start + pieces, count)].withUnsafeBytes {
                ring.append($0, of: .terminal, grant: grant)
            }
        }
        return ring
    }

    private func content(_ ring: OutputRing) -> [UInt8] {
        var content: [UInt8] = []
        ring.withBytes(ring.start..<ring.end) { content += $1 }
        return content
    }

    @Test(arguments: [1, 4096, 4097, (3 << 20) + 7], [1000, 100_001, 5 << 20])
    func `it keeps the last MiB, wherever it is cut`(count: Int, pieces: Int) {
        let ring = ring(count, pieces: pieces)
        #expect(ring.end == count && ring.start == max(0, count - OutputRing.maxBytes))
        #expect(content(ring) == (ring.start..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) })
    }

    @Test func `it takes no more memory than what it keeps, and none that is refused`() {
        #expect(ring(10, pieces: 10).granted == 0)
        #expect(ring(5000, pieces: 5000).granted == 4096)
        let poor = ring(100_000, pieces: 1000) { _ in false }
        #expect(poor.granted == 0 && poor.start == 100_000 - OutputRing.firstBytes && poor.capacity == 4096)
        #expect(content(poor).count == 4096)
    }

    @Test func `it knows which stream each byte is of, until there are too many changes`() {
        var ring = OutputRing()
        for number in 0..<5000 {
            [UInt8(truncatingIfNeeded: number)].withUnsafeBytes {
                ring.append($0, of: number % 2 == 0 ? .standardOutput : .standardError) { _ in true }
            }
        }
        #expect(ring.run(at: 4998) == (.standardOutput, 4999) && ring.run(at: 4999) == (.standardError, 5000))
        let first = ring.run(at: 0)
        #expect(first.stream == nil && first.end > 5000 - OutputRing.maxRuns - 1)
    }

    @Test func `memory is shared, and comes back`() {
        let memory = ByteBudget(100)
        #expect(memory.take(60) && !memory.take(60))
        memory.give(60)
        #expect(memory.take(100))
    }
}
