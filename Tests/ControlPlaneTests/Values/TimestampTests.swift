import Foundation
import JSON
import Testing

@testable import ControlPlane

@Suite struct TimestampTests {
    @Test(arguments: [
        ("1970-01-01T00:00:00Z", 0), ("2026-11-21T02:00:00Z", 1_795_226_400_000_000),
        ("2026-11-21T02:00:00.123456+00:00", 1_795_226_400_123_456), ("2026-11-21T02:00:00.1Z", 1_795_226_400_100_000),
        ("2026-11-21T02:00:00.1234567899Z", 1_795_226_400_123_456),
        ("2026-11-21T04:30:00+02:30", 1_795_226_400_000_000),
        ("2026-11-20T21:00:00-05:00", 1_795_226_400_000_000), ("2026-11-21t02:00:00z", 1_795_226_400_000_000),
        ("2026-11-21 02:00:00Z", 1_795_226_400_000_000), ("2026-11-21T02:00:00", 1_795_226_400_000_000),
        ("2000-02-29T00:00:00Z", 951_782_400_000_000),
    ]) func `RFC 3339 is read`(_ text: String, _ microseconds: Int64) {
        #expect(Timestamp(text)?.microseconds == microseconds)
    }

    @Test(arguments: [
        "", "now", "2026-11-21", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2100-02-29T00:00:00Z",
        "2026-11-21T24:00:00Z", "2026-11-21T02:60:00Z", "2026-11-21T02:00Z", "2026-11-21T02:00:00.Z",
        "2026-11-21T02:00:00+0000", "2026-11-21T02:00:00ZZ", "1969-12-31T23:59:59Z", "2026-1-01T00:00:00Z",
        "２026-11-21T02:00:00Z", "2026-11-21T02:00:00+24:00", "10000-01-01T00:00:00Z",
        // Beyond the last second: by a leap second, a fraction, a zone.
        "1970-01-01T00:00:00+00:01", "9999-12-31T23:59:60Z", "9999-12-31T23:59:59.000001Z", "9999-12-31T23:59:59-00:01",
        "9999-12-31T00:00:00-23:59:59",
    ]) func `anything else is not`(_ text: String) {
        #expect(Timestamp(text) == nil)
    }

    @Test func `the last second of the year 9999 is the last that there is`() {
        #expect(Timestamp("9999-12-31T23:59:59Z") == .last && Timestamp("9999-12-31T22:59:60-01:00") == nil)
        #expect("\(Timestamp.last)" == "9999-12-31T23:59:59Z")
        for seconds in [Int.max, 1_000_000_000_000_000_000, 1_000_000_000_000, 253_402_300_800] {
            #expect(Timestamp.now().adding(seconds: seconds) == .last)
        }
        for microseconds in [Int64.max, Int64.min] {
            // Also what a store of an earlier version holds.
            let stored = try! JSONValue("[\(microseconds)]".utf8).decode([Timestamp].self)[0]
            #expect(stored == Timestamp(microseconds: microseconds) && "\(stored)".utf8.count == 20)
            #expect(stored.seconds * 1_000_000 == stored.microseconds)
        }
        #expect("\(Timestamp.now().adding(seconds: .min))" == "0001-01-01T00:00:00Z")
    }

    @Test func `what is written is read again, and as Foundation reads it`() throws {
        var random = SystemRandomNumberGenerator()
        let style = Date.ISO8601FormatStyle(includingFractionalSeconds: false)
        for _ in 0..<2000 {
            let moment = Timestamp(microseconds: Int64.random(in: 0..<253_402_300_799_000_000, using: &random))
            #expect(Timestamp("\(moment)") == moment)
            let whole = Timestamp(microseconds: moment.seconds * 1_000_000)
            #expect(try Date("\(whole)", strategy: style).timeIntervalSince1970 == Double(whole.seconds))
        }
    }
}
