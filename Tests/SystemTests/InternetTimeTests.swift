import Testing

@testable import System

@Suite struct InternetTimeTests {
    @Test(
        arguments: [
            (0, nil, "1970-01-01T00:00:00Z"), (0, 999_999_999, "1970-01-01T00:00:00.999Z"),
            (1_709_210_096, 7_000_000, "2024-02-29T12:34:56.007Z"), (-1, 0, "1969-12-31T23:59:59.000Z"),
            (-62_135_596_800, 5_000_000, "0001-01-01T00:00:00.005Z"),
            (253_402_300_799, 5_000_000, "9999-12-31T23:59:59.000Z"),
            (Int64.min, 5_000_000, "0001-01-01T00:00:00.000Z"), (Int64.max, nil, "9999-12-31T23:59:59Z"),
        ] as [(Int64, Int64?, String)])
    func `a moment has a year of four digits`(seconds: Int64, nanoseconds: Int64?, text: String) {
        #expect(InternetTime.text(seconds, nanoseconds: nanoseconds) == text)
    }

    @Test(arguments: [
        (1, "1970-01-01T00:00:00.001Z"), (-1, "1969-12-31T23:59:59.999Z"), (-1000, "1969-12-31T23:59:59.000Z"),
    ])
    func `milliseconds are counted from 1970 in both directions`(milliseconds: Int64, text: String) {
        #expect(InternetTime.text(milliseconds: milliseconds) == text)
        #expect(InternetTime.text(milliseconds: .min) == "0001-01-01T00:00:00.000Z")
    }

    @Test func `an identifier is a random UUID of version 4`() {
        let all = (0..<1000).map { _ in Identifier.uuid() }
        #expect(Set(all).count == all.count)
        for id in all {
            let form = /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/
            #expect(id.wholeMatch(of: form) != nil, "\(id)")
        }
    }
}
