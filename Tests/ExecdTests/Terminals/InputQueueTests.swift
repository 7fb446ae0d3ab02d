import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

struct InputQueueTests {
    @Test func `bytes go out in their order, however few at a time`() {
        var queue = InputQueue(), written: [UInt8] = []
        let all = (0..<1000).map { UInt8(truncatingIfNeeded: $0) }
        queue.append(Array(all[..<300]))
        var taken = 0
        for round in 0... {
            if round == 2 { queue.append(Array(all[300...])) }
            var isFull = false
            let (count, outcome) = queue.flush { bytes in
                guard !isFull else {
                    errno = EAGAIN
                    return -1
                }
                isFull = true
                written += bytes.prefix(70)
                return min(bytes.count, 70)
            }
            taken += count
            if outcome == .empty { break }
            #expect(outcome == .waits && count == 70)
        }
        #expect(written == all && taken == 1000 && queue.isEmpty)
    }

    @Test func `an end that refuses drops what waits, and counts it`() {
        var queue = InputQueue()
        queue.append([1, 2, 3])
        let (taken, outcome) = queue.flush { _ in
            errno = EPIPE
            return -1
        }
        #expect(taken == 3 && outcome == .refused && queue.isEmpty)
    }

    @Test func `interruptions are no refusal`() {
        var queue = InputQueue(), calls = 0
        queue.append([1, 2])
        let (taken, outcome) = queue.flush { bytes in
            calls += 1
            if calls == 1 {
                errno = EINTR
                return -1
            }
            return bytes.count
        }
        #expect(taken == 2 && outcome == .empty && queue.discard() == 0)
    }
}
