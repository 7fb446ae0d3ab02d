/// A run of an isolated session in the background. Its output goes to a file in the session's first folder.
struct BackgroundRun: Hashable, Sendable {
    /// The most of one session, ended ones included.
    static let maxRuns = 1024
    /// Bytes of a log that are kept when its run has ended, and the most of one answer.
    static let maxLog = 16 << 20

    let id: String
    let startedAt: Int64
    /// Where its files are, as the session sees it.
    let folder: String
    private(set) var finishedAt: Int64?
    /// On the monotonic clock.
    private(set) var endedAt: Int64?
    private(set) var code: Int32?
    private(set) var failure: String?

    init(id: String, in workspace: String, at now: Int64) {
        self.id = id
        startedAt = now
        folder = workspace + "/.execd/background-runs"
    }

    var log: String { folder + "/" + id + ".log" }
    var statusFile: String { folder + "/" + id + ".code" }
    var isRunning: Bool { finishedAt == nil }

    mutating func end(code: Int32, at now: Int64) {
        guard isRunning else { return }
        (self.code, finishedAt, endedAt) = (code, now, IsolatedSession.now)
    }

    mutating func terminate(at now: Int64) {
        guard isRunning else { return }
        (failure, finishedAt, endedAt) = ("session terminated", now, IsolatedSession.now)
    }

    /// Without the start of a character whose rest is not there yet.
    static func wholeCharacters(_ bytes: [UInt8]) -> [UInt8] {
        var end = bytes.count
        // A character's first byte says how many follow; four bytes are the most.
        for back in 1...4 where back <= bytes.count {
            let byte = bytes[bytes.count - back]
            if byte & 0xc0 == 0x80 { continue }
            let length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
            if length > back { end = bytes.count - back }
            break
        }
        return Array(bytes[..<end])
    }
}
