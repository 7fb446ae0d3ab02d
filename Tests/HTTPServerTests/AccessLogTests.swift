import Logging
import NIOHTTP1
import Synchronization
import TestSupport
import Testing

@testable import HTTPServer

@Suite struct AccessLogTests {
    private final class Clock: Sendable {
        private let time = Mutex<UInt64>(0)
        var now: UInt64 { time.withLock { $0 } }
        func pass(seconds: UInt64) { time.withLock { $0 += seconds * 1_000_000_000 } }
    }

    private let lines = RecordedLines(), clock = Clock()

    private func log(_ mode: AccessLogMode) -> AccessLog {
        AccessLog(mode, logger: lines.logger(.critical)) { [clock] in clock.now }
    }

    private func note(
        _ log: AccessLog, _ status: Int, isError: Bool, isStranger: Bool = false, sandbox: String? = nil
    ) {
        var line = AccessLine(.GET, route: "header")
        (line.status, line.sandbox) = (status, sandbox)
        log.note(line, isError: isError, isStranger: isStranger)
    }

    @Test(arguments: [(AccessLogMode.off, [String]()), (.errors, ["502"]), (.all, ["200", "502"])])
    func `the setting decides which requests have a line, whatever the level is`(
        mode: AccessLogMode, expected: [String]
    ) {
        let log = log(mode)
        note(log, 200, isError: false)
        note(log, 502, isError: true)
        #expect(lines.all.map { $0["status"] } == expected)
    }

    @Test func `the setting changes while requests come`() {
        let log = log(.off)
        note(log, 502, isError: true)
        log.mode = .all
        note(log, 200, isError: false)
        log.mode = .errors
        note(log, 201, isError: false)
        #expect(lines.all.map { $0["status"] } == ["200"])
    }

    @Test(arguments: [AccessLogMode.errors, .all]) func `strangers write so many lines, and no more`(
        mode: AccessLogMode
    ) {
        let log = log(mode)
        for _ in 0..<5000 { note(log, 401, isError: true, isStranger: true) }
        #expect(lines.all.count == 100)
        // They do not push out what is said of others.
        note(log, 502, isError: true)
        #expect(lines.all.last?["status"] == "502")
        clock.pass(seconds: 1)
        for _ in 0..<5000 { note(log, 401, isError: true, isStranger: true) }
        #expect(lines.all.count == 106 && lines.all[101]["leftOut"] == "4900" && lines.all[102]["leftOut"] == nil)
    }

    @Test func `errors of one sandbox fill no disk either`() {
        let log = log(.errors)
        for _ in 0..<5000 { note(log, 500, isError: true) }
        #expect(lines.all.count == 200)
        log.mode = .all
        for _ in 0..<300 { note(log, 500, isError: true) }
        #expect(lines.all.count == 500, "who wants all gets all")
    }

    @Test func `no sandbox pushes out what is said of others, and all of them have a limit`() {
        let log = log(.errors)
        for _ in 0..<5000 { note(log, 500, isError: true, sandbox: "loud") }
        note(log, 500, isError: true, sandbox: "quiet")
        #expect(lines.all.count == 201 && lines.all.last?["sandbox"] == "quiet")
        #expect(lines.all.last?["leftOut"] == "4800")
        for number in 0..<2000 { note(log, 500, isError: true, sandbox: "s\(number)") }
        #expect(lines.all.count == 800)
    }

    @Test func `a line has what is known, and nothing else`() {
        var line = AccessLine(HTTPMethod(rawValue: "MINE"), route: "host")
        line.nanoseconds = 1_234_567_890
        #expect(
            line.metadata == [
                "method": "OTHER", "route": "host", "bytesIn": "0", "bytesOut": "0", "seconds": "1.234567",
            ])
        (line.sandbox, line.port, line.status, line.code) = ("s", 80, 502, "BACKEND_CONNECTION_FAILED")
        (line.request, line.end) = ("id", "broken off")
        #expect(line.metadata.count == 11 && line.metadata["port"] == "80" && line.metadata["request"] == "id")
        #expect(AccessLine(nil, route: "none").metadata["method"] == "unread")
        #expect(AccessLine.seconds(0) == "0.000000" && AccessLine.seconds(7_000) == "0.000007")
        #expect(AccessLine.seconds(.max) == "18446744073.709551")
    }
}
