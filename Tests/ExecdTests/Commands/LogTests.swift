import Foundation
import System
import TestSupport
import Testing

@testable import Execd

@Suite struct LogRingTests {
    /// A ring with a file in memory, and what it should hold.
    private struct Model {
        var ring: LogRing
        var file: [UInt8]
        var written: [UInt8] = []

        init(maxBytes: Int) {
            ring = LogRing(maxBytes: maxBytes)
            file = [UInt8](repeating: 0, count: maxBytes)
        }

        mutating func append(_ bytes: [UInt8], grant: (Int) -> Bool) {
            let (skipped, pieces) = ring.append(bytes.count, grant: grant)
            var rest = bytes[skipped...]
            for piece in pieces {
                file.replaceSubrange(piece.place..<piece.place + piece.count, with: rest.prefix(piece.count))
                rest = rest.dropFirst(piece.count)
            }
            written += bytes
        }

        var kept: [UInt8] { ring.pieces(ring.start..<ring.end).flatMap { file[$0.place..<$0.place + $0.count] } }
    }

    @Test func `a log keeps its last bytes, whatever is added and granted`() {
        var random = SystemRandomNumberGenerator()
        for round in 0..<30 {
            var model = Model(maxBytes: 3 << 20)
            for _ in 0..<40 {
                let bytes = (0..<Int.random(in: 0...300_000, using: &random)).map { UInt8(truncatingIfNeeded: $0 &* 7) }
                model.append(bytes) { _ in round % 3 != 0 && Bool.random() }
                #expect(model.ring.end == model.written.count)
                #expect(model.ring.end - model.ring.start >= min(model.ring.end, LogRing.firstBytes))
                #expect(model.kept == Array(model.written[model.ring.start...]))
            }
        }
    }

    @Test func `more than all of it at once leaves the last bytes`() {
        var model = Model(maxBytes: LogRing.firstBytes)
        model.append([UInt8](repeating: 1, count: 10)) { _ in true }
        model.append((0..<200_000).map { UInt8(truncatingIfNeeded: $0) }) { _ in true }
        #expect(model.kept == Array(model.written.suffix(LogRing.firstBytes)))
    }

    @Test func `a full disk has the log begin again where it stands`() {
        var model = Model(maxBytes: 1 << 20)
        model.append([UInt8](repeating: 1, count: 40_000)) { _ in true }
        let begins = model.ring.stopGrowing()
        #expect(begins && model.ring.capacity == 40_000)
        model.append([UInt8](repeating: 2, count: 30_000)) { _ in true }
        #expect(model.ring.capacity == 40_000 && model.kept == Array(model.written.suffix(40_000)))
        let beginsAgain = model.ring.stopGrowing()
        #expect(!beginsAgain, "nothing would be won")
    }
}

@Suite struct CommandLogTests {
    private func log(_ maxBytes: Int, _ budget: ByteBudget = ByteBudget(1 << 30)) throws -> CommandLog {
        try CommandLog(folders: ["/tmp"], maxBytes: maxBytes, budget: budget)
    }

    @Test func `what was printed is read at once, from any offset, and the oldest goes`() async throws {
        let log = try log(LogRing.firstBytes)
        var all: [UInt8] = []
        for number in 0..<200 {
            let bytes = Array("line \(number) \(String(repeating: "x", count: number * 11))\n".utf8)
            log.append(bytes) { _ in }
            all += bytes
            #expect(log.end == all.count)
            let last = log.read(max(0, all.count - 100)..<Int.max, upTo: 4096)
            #expect(last.bytes == all.suffix(100) && last.end == all.count)
        }
        let whole = log.read(0..<Int.max, upTo: .max)
        #expect(whole.end == all.count && whole.bytes == all.suffix(whole.bytes.count))
        #expect(log.read(Int.max - 1..<Int.max, upTo: 10).bytes.isEmpty)
    }

    @Test func `logs share the disk, and give it back`() async throws {
        let budget = ByteBudget(LogRing.step)
        var first: CommandLog? = try log(8 << 20, budget)
        let second = try log(8 << 20, budget)
        for log in [first!, second] {
            await withCheckedContinuation { done in
                log.append([UInt8](repeating: 7, count: 600_000)) { _ in done.resume() }
            }
        }
        #expect(first!.read(0..<Int.max, upTo: .max).bytes.count == 600_000)
        #expect(second.read(0..<Int.max, upTo: .max).bytes.count == LogRing.firstBytes, "there was no more")
        #expect(!budget.take(1))
        first = nil
        #expect(budget.take(LogRing.step))
    }

    @Test func `without a folder to write to the command says so`() throws {
        #expect(throws: SystemCallError.self) { try CommandLog(folders: ["/nonexistent", "/proc/self"]) }
    }
}
