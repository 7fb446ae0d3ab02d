#if canImport(Glibc)
    import Glibc
#endif

/// Moments as texts of RFC 3339, of UTC: `2026-01-31T23:59:59.123Z`.
package enum InternetTime {
    /// The years 0001 to 9999, which have four digits: many clients fail on others.
    private static let moments: ClosedRange<Int64> = -62_135_596_800...253_402_300_799

    /// - Parameters:
    ///   - seconds: since 1970; what is outside the years of four digits is taken for their first or last second.
    ///   - nanoseconds: of which milliseconds are shown; nil: no fraction is.
    package static func text(_ seconds: Int64, nanoseconds: Int64?) -> String {
        let whole = min(max(seconds, moments.lowerBound), moments.upperBound)
        var moment = time_t(whole)
        var parts = tm()
        gmtime_r(&moment, &parts)
        func digits(_ number: Int64, _ count: Int) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, count - text.utf8.count)) + text
        }
        let date = [(parts.tm_year + 1900, 4), (parts.tm_mon + 1, 2), (parts.tm_mday, 2)]
        let clock = [(parts.tm_hour, 2), (parts.tm_min, 2), (parts.tm_sec, 2)]
        let text =
            date.map { digits(Int64($0), $1) }.joined(separator: "-") + "T"
            + clock.map { digits(Int64($0), $1) }.joined(separator: ":")
        guard let nanoseconds else { return text + "Z" }
        let isShown = whole == seconds && whole < moments.upperBound
        return text + "." + digits(isShown ? min(max(nanoseconds, 0), 999_999_999) / 1_000_000 : 0, 3) + "Z"
    }

    /// Of milliseconds since 1970, with their fraction.
    package static func text(milliseconds: Int64) -> String {
        let (seconds, rest) = milliseconds.quotientAndRemainder(dividingBy: 1000)
        return rest < 0
            ? text(seconds - 1, nanoseconds: (rest + 1000) * 1_000_000) : text(seconds, nanoseconds: rest * 1_000_000)
    }
}
