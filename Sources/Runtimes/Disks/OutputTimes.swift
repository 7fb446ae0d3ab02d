import System

/// How much a sandbox had printed at which moments, so that the output of the last minutes can be told from what is older.
///
/// The output is written by the sandbox's programs themselves, which may put anything into it, so there are no times in it.
/// The server looks at its length now and then, and this has what it saw: times of this machine, in a file that no sandbox
/// reaches, of at most `most` marks. A program that cuts its output, or makes it look long, only confuses its own times.
struct OutputTimes: Hashable, Sendable {
    struct Mark: Hashable, Sendable {
        /// Unix seconds.
        var time: Int64
        /// Bytes that had been printed then, since the first one.
        var position: Int64
    }

    /// Of the first byte of the present file: what was printed before it has been set aside or thrown away.
    private(set) var start: Int64 = 0
    /// Both numbers ascend.
    private(set) var marks: [Mark] = []

    /// With a look every two seconds these are the last four minutes in full, and hours before with longer and longer steps.
    static let most = 256

    init() {}

    /// Notes the length of the present file.
    mutating func saw(_ size: Int64, at now: Int64) {
        let (position, isTooLarge) = start.addingReportingOverflow(max(0, size))
        if isTooLarge {
            self = OutputTimes()
            return saw(size, at: now)
        }
        // The clock was set back. Without them more is taken for new, and nothing for old.
        marks.removeAll { $0.time > now }
        let last = marks.last?.position ?? start
        guard position != last else { return }
        // Cut by a program inside: nothing is where it was.
        if position < last { marks = [] }
        marks.append(Mark(time: now, position: position))
        if marks.count > Self.most { thin() }
    }

    /// The present file is empty from now on, and `size` bytes of it are gone or set aside.
    mutating func began(after size: Int64) {
        let (sum, isTooLarge) = start.addingReportingOverflow(max(0, size))
        if isTooLarge { self = OutputTimes() } else { start = sum }
    }

    /// How many of the last bytes were printed after a moment, or within one step before it; nil for all that there are.
    /// - Parameter size: of the present file.
    func bytes(since moment: Int64, size: Int64) -> Int64? {
        guard let mark = marks.last(where: { $0.time <= moment }) else { return nil }
        let (end, isTooLarge) = start.addingReportingOverflow(max(0, size))
        guard !isTooLarge, end >= mark.position else { return nil }
        return end - mark.position
    }

    /// Takes every second mark out of the older half.
    private mutating func thin() {
        let half = marks.count / 2
        marks = marks.enumerated().filter { place, _ in place >= half || place % 2 == 1 }.map(\.element)
    }

    // MARK: the file

    /// nil for what is no such file, or of another version.
    init?(bytes: [UInt8]) {
        guard bytes.count >= 8, bytes.count % 16 == 8, bytes.count <= 8 + 16 * Self.most else { return nil }
        let numbers = bytes.withUnsafeBytes { raw in
            stride(from: 0, to: raw.count, by: 8).map {
                Int64(littleEndian: raw.loadUnaligned(fromByteOffset: $0, as: Int64.self))
            }
        }
        start = numbers[0]
        marks = stride(from: 1, to: numbers.count, by: 2).map { Mark(time: numbers[$0], position: numbers[$0 + 1]) }
        let ascends = zip(marks, marks.dropFirst()).allSatisfy { $0.time <= $1.time && $0.position < $1.position }
        guard start >= 0, ascends, (marks.first?.position ?? 0) >= 0 else { return nil }
    }

    var bytes: [UInt8] {
        ([start] + marks.flatMap { [$0.time, $0.position] }).flatMap { number in
            withUnsafeBytes(of: number.littleEndian) { Array($0) }
        }
    }

    static func read(_ path: String) -> OutputTimes {
        (try? File.readIfPresent(path, limit: 8 + 16 * most, followsLinks: false)).flatMap { $0 }
            .flatMap { OutputTimes(bytes: $0) } ?? OutputTimes()
    }

    /// A disk that is full costs times, and nothing else.
    func write(_ path: String) { try? File.replace(path, with: bytes, mode: 0o600) }
}

extension SandboxFolder {
    /// Where no program inside comes to.
    var outputTimes: String { file("log-times") }

    /// Notes how much has been printed by now, and cuts what has become too long.
    func keepOutput(limit: Int64, now: Int64) {
        guard let look = output.rotate(limit: limit) else { return }
        let before = OutputTimes.read(outputTimes)
        var times = before
        times.saw(look.size, at: now)
        if look.isCut { times.began(after: look.size) }
        if times != before { times.write(outputTimes) }
    }

    /// The last bytes of what was printed since a moment, in Unix seconds.
    func logTail(bytes: Int, since moment: Int64) -> String {
        let printed = OutputTimes.read(outputTimes).bytes(since: moment, size: output.size)
        return output.tail(bytes: printed.map { Int(min($0, Int64(max(0, bytes)))) } ?? bytes)
    }
}
