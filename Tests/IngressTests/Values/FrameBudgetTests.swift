import NIOCore
import Testing

@testable import Ingress

@Suite struct FrameBudgetTests {
    private var limits: HTTP2Limits {
        var limits = HTTP2Limits()
        (limits.maxWindowUpdates, limits.maxUnknownFrames, limits.window) = (5, 3, .seconds(30))
        limits.maxControlFrames = 4
        return limits
    }

    /// How many frames of a type pass in a row, of at most a thousand.
    private func passed(_ type: UInt8, _ budget: inout FrameBudget, at second: UInt64 = 0) -> Int {
        for count in 0..<1000
        where !budget.receives(type, now: { .uptimeNanoseconds((second + 1) * 1_000_000_000) }) { return count }
        return 1000
    }

    @Test func `so many are free, and again when their time has passed`() {
        var budget = FrameBudget(limits)
        #expect(passed(8, &budget) == 5)
        #expect(passed(8, &budget, at: 29) == 0)
        #expect(passed(8, &budget, at: 30) == 5)
        #expect(passed(8, &budget, at: 59) == 0)
        #expect(passed(8, &budget, at: 90) == 5)
    }

    @Test func `who takes bytes may say so, and who opens streams`() {
        var budget = FrameBudget(limits)
        for _ in 0..<20 { budget.sentData() }
        #expect(passed(8, &budget) == 205)
        #expect(budget.receives(1) { .now() })
        #expect(passed(8, &budget) == 10)
    }

    @Test func `what is saved has an end`() {
        var allowance = FrameAllowance(1, every: .hours(1))
        for _ in 0..<1000 { allowance.earn(1000) }
        var count = 0
        while allowance.spend({ .uptimeNanoseconds(1) }) { count += 1 }
        #expect(count == 100_000)
    }

    @Test(arguments: [7, 10, 16, 255] as [UInt8])
    func `unknown types and GOAWAY share a budget of their own`(type: UInt8) {
        var budget = FrameBudget(limits)
        #expect(passed(type, &budget) == 3 && passed(11, &budget) == 0 && passed(8, &budget) == 5)
    }

    @Test(arguments: [2, 4, 6] as [UInt8])
    func `PING, SETTINGS and PRIORITY share one, and who takes bytes may measure the way`(type: UInt8) {
        var budget = FrameBudget(limits)
        #expect(passed(type, &budget) == 4 && passed(6, &budget) == 0)
        for _ in 0..<20 { budget.sentData() }
        #expect(passed(type, &budget) == 20)
    }

    @Test(arguments: [0, 1, 3, 5, 9] as [UInt8]) func `others are counted elsewhere`(type: UInt8) {
        var budget = FrameBudget(limits)
        #expect(passed(type, &budget) == 1000)
    }

    @Test func `a sandbox sends as many heads as its requests may have, and few beside`() {
        var limits = limits
        limits.maxInterimHeads = 7
        var budget = FrameBudget(limits, of: .sandbox)
        #expect(passed(1, &budget) == 7 && passed(8, &budget) == 5)
        budget.sentHead()
        #expect(passed(1, &budget) == 10 && passed(8, &budget) == 10)
        // What it has not used it cannot save without end.
        for _ in 0..<1000 { budget.sentHead() }
        #expect(passed(1, &budget) == 70)
    }
}

@Suite struct ReceivedFramesTests {
    private func types(_ bytes: [UInt8], step: Int, hasPreface: Bool = true) -> [UInt8] {
        var frames = ReceivedFrames(hasPreface: hasPreface)
        var types: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: step) {
            bytes[start..<min(start + step, bytes.count)].withUnsafeBytes { frames.read($0) { types.append($0) } }
        }
        return types
    }

    @Test(arguments: [1, 2, 3, 7, 9, 24, 1000]) func `frames are found however they are cut`(step: Int) {
        var bytes = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
        bytes += [0, 0, 0, 4, 0, 0, 0, 0, 0]
        // A payload that looks like a frame is none.
        bytes += [0, 1, 9, 0, 0, 0, 0, 0, 1] + Array(repeating: 8, count: 265)
        bytes += [0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1]
        bytes += [0, 0, 1, 200, 0, 0, 0, 0, 0, 0]
        #expect(types(bytes, step: step) == [4, 0, 8, 200])
    }

    @Test func `a server has no preface`() {
        #expect(
            types([0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88], step: 5, hasPreface: false) == [4, 1])
    }

    @Test func `half a header is no frame`() {
        let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
        #expect(types(preface + [0, 0, 0, 4, 0, 0, 0, 0], step: 100).isEmpty)
    }
}
