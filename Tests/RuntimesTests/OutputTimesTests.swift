import TestSupport
import Testing

@testable import Runtimes

#if canImport(Glibc)
    import Glibc
#endif

@Suite struct OutputTimesTests {
    private func times(_ looks: [(size: Int64, at: Int64)]) -> OutputTimes {
        var times = OutputTimes()
        for look in looks { times.saw(look.size, at: look.at) }
        return times
    }

    @Test func `what was printed after a moment is told from what was printed before`() {
        let times = times([(0, 1), (100, 2), (100, 4), (150, 100), (180, 102)])
        #expect(times.marks.map(\.time) == [2, 100, 102])
        #expect(times.bytes(since: 1, size: 200) == nil, "everything is newer")
        #expect(times.bytes(since: 2, size: 200) == 100 && times.bytes(since: 99, size: 200) == 100)
        #expect(times.bytes(since: 100, size: 200) == 50 && times.bytes(since: 1000, size: 180) == 0)
    }

    @Test func `a file that was cut goes on being counted from where it was`() {
        var times = times([(100, 2), (900, 4)])
        times.began(after: 900)
        times.saw(0, at: 4)
        times.saw(30, at: 6)
        #expect(times.start == 900 && times.marks.map(\.position) == [100, 900, 930])
        #expect(times.bytes(since: 2, size: 50) == 850, "800 of them were set aside")
        #expect(times.bytes(since: 4, size: 50) == 50 && times.bytes(since: 6, size: 50) == 20)
    }

    @Test(arguments: [
        [(Int64(500), Int64(1)), (10, 2)], [(.max, 1), (.max - 1, 2), (5, 3)], [(-1, 1), (.min, 2)],
        [(0, .max), (1, .min)],
        [(1 << 40, 5), (0, 6), (1 << 41, 7)],
    ]) func `lengths that a program inside makes up confuse its own times, and end nothing`(
        _ looks: [(Int64, Int64)]
    ) {
        var times = OutputTimes()
        for (size, moment) in looks {
            times.saw(size, at: moment)
            times.began(after: size)
            times.saw(.max, at: moment)
            for size in [0, 7, Int64.max] {
                #expect((times.bytes(since: moment, size: size) ?? 0) >= 0)
            }
            #expect(OutputTimes(bytes: times.bytes) == times)
        }
    }

    @Test func `a clock that is set back makes old output look new, and never new output look old`() {
        let times = times([(100, 1000), (200, 1010), (300, 500)])
        #expect(times.marks.map(\.position) == [300] && times.bytes(since: 499, size: 300) == nil)
    }

    @Test func `there is a bound of marks, and the latest moments stay exact`() {
        var times = OutputTimes()
        for moment in 1...Int64(100_000) { times.saw(moment * 10, at: moment) }
        #expect(times.marks.count <= OutputTimes.most && times.bytes.count <= 8 + 16 * OutputTimes.most)
        for back in 0..<Int64(100) { #expect(times.bytes(since: 100_000 - back, size: 1_000_000) == back * 10) }
        // Of older moments more is told than was asked for, never less.
        for moment in stride(from: Int64(1), to: 100_000, by: 777) {
            #expect(times.bytes(since: moment, size: 1_000_000).map { $0 >= (100_000 - moment) * 10 } ?? true)
        }
    }

    @Test func `bytes that are no times are none`() {
        let good = times([(1, 2), (3, 4)]).bytes
        #expect(OutputTimes(bytes: good) == times([(1, 2), (3, 4)]))
        for bad in [
            [], Array(good.dropLast()), good + good, [UInt8](repeating: 255, count: 24), good + Array(good[8...]),
        ] {
            #expect(OutputTimes(bytes: bad) == nil)
        }
    }

    @Test func `a sandbox's output of the last moments is read out of its files, also where it was cut between`() throws
    {
        let place = TemporaryFolder("times"), folder = SandboxFolder(path: place.path + "/s")
        mkdir(folder.path, 0o700)
        mkdir(folder.disk.path, 0o700)
        let writer = try folder.output.open()
        defer { close(writer) }
        func prints(_ text: String, at now: Int64, limit: Int64 = 1000) {
            #expect(write(writer, text, text.utf8.count) == text.utf8.count)
            folder.keepOutput(limit: limit, now: now)
        }
        prints("old\n", at: 10)
        prints("new\n", at: 20)
        #expect(folder.logTail(bytes: 100, since: 9) == "old\nnew\n")
        #expect(folder.logTail(bytes: 100, since: 10) == "new\n" && folder.logTail(bytes: 2, since: 10) == "w\n")
        #expect(folder.logTail(bytes: 100, since: 20) == "")
        prints("cut after this\n", at: 30, limit: 16)
        prints("last\n", at: 40)
        #expect(folder.output.size == 5 && folder.logTail(bytes: 100, since: 30) == "last\n")
        #expect(folder.logTail(bytes: 100, since: 20) == "er this\nlast\n", "half of the limit is kept")
        #expect(truncate(folder.output.path, 0) == 0)
        prints("x\n", at: 50)
        #expect(folder.logTail(bytes: 100, since: 40).hasSuffix("x\n"))
    }
}
