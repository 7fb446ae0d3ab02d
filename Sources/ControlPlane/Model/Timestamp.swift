import System

#if canImport(Glibc)
    import Glibc
#endif

/// A moment, in microseconds since 1970 UTC. On the wire it is RFC 3339 with a zone. Clients fail without a zone and on
/// years of five digits, so no timestamp later than `last` is read, computed or shown.
package struct Timestamp: Hashable, Comparable, Sendable {
    package let microseconds: Int64

    /// The range of RFC 3339: 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z.
    private static let range: ClosedRange<Int64> = -62_135_596_800_000_000...253_402_300_799_000_000
    package static let last = Timestamp(microseconds: range.upperBound)

    /// Values outside the range are clamped.
    package init(microseconds: Int64) {
        self.microseconds = min(max(microseconds, Self.range.lowerBound), Self.range.upperBound)
    }

    package static func now() -> Timestamp { Timestamp(microseconds: Int64(SystemClock.wallNanoseconds() / 1000)) }

    /// Seconds since 1970, rounded down.
    package var seconds: Int64 { microseconds.flooredDivision(by: 1_000_000) }

    /// At most `last`.
    package func adding(seconds: Int) -> Timestamp {
        let (step, stepOverflows) = Int64(seconds).multipliedReportingOverflow(by: 1_000_000)
        let (sum, overflows) = microseconds.addingReportingOverflow(step)
        return Timestamp(microseconds: stepOverflows || overflows ? (seconds < 0 ? .min : .max) : sum)
    }

    package static func < (left: Timestamp, right: Timestamp) -> Bool { left.microseconds < right.microseconds }

    /// Reads RFC 3339, section 5.6, years 1970 to 9999. A time without a zone is taken as UTC, as the reference does.
    package init?(_ text: String) {
        var reader = DigitReader(text)
        guard let year = reader.number(4), reader.take("-"), let month = reader.number(2), reader.take("-"),
            let day = reader.number(2), reader.take("T") || reader.take("t") || reader.take(" "),
            let hour = reader.number(2), reader.take(":"), let minute = reader.number(2), reader.take(":"),
            let second = reader.number(2)
        else { return nil }
        guard (1970...9999).contains(year), (1...12).contains(month),
            (1...Self.days(of: month, in: year)).contains(day),
            hour < 24, minute < 60, second < 61
        else { return nil }
        var fraction: Int64 = 0
        if reader.take(".") {
            guard let parsed = reader.fraction() else { return nil }
            fraction = parsed
        }
        guard let zone = reader.zoneSeconds(), reader.isAtEnd else { return nil }
        let days = Self.days(before: year, month: month, day: day)
        let whole = Int64(days) * 86_400 + Int64(hour * 3600 + minute * 60 + second - zone)
        // A leap second, a fraction or a zone may move it beyond the year 9999, and a zone before 1970.
        let microseconds = whole * 1_000_000 + fraction
        guard (0...Self.last.microseconds).contains(microseconds) else { return nil }
        self.init(microseconds: microseconds)
    }

    private static func days(of month: Int, in year: Int) -> Int {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        return month == 2 ? (leap ? 29 : 28) : [4, 6, 9, 11].contains(month) ? 30 : 31
    }

    /// Days since 1970-01-01, in the Gregorian calendar.
    private static func days(before year: Int, month: Int, day: Int) -> Int {
        let earlier = year - 1
        let leaps = earlier / 4 - earlier / 100 + earlier / 400 - 477
        return (year - 1970) * 365 + leaps + (1..<month).reduce(0) { $0 + days(of: $1, in: year) } + day - 1
    }
}

extension Timestamp: CustomStringConvertible {
    /// `2026-11-21T02:00:00.123456Z`; the fraction is left out where it is zero.
    package var description: String {
        var moment = time_t(seconds)
        var parts = tm()
        gmtime_r(&moment, &parts)
        func padded(_ number: some BinaryInteger, _ width: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let fraction = microseconds - seconds * 1_000_000
        let date = "\(padded(parts.tm_year + 1900, 4))-\(padded(parts.tm_mon + 1, 2))-\(padded(parts.tm_mday, 2))"
        let time = "\(padded(parts.tm_hour, 2)):\(padded(parts.tm_min, 2)):\(padded(parts.tm_sec, 2))"
        return "\(date)T\(time)" + (fraction == 0 ? "" : "." + padded(fraction, 6)) + "Z"
    }
}

extension Timestamp: Codable {
    package init(from decoder: any Decoder) throws {
        self.init(microseconds: try decoder.singleValueContainer().decode(Int64.self))
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(microseconds)
    }
}

/// Parses a timestamp's text from the front.
private struct DigitReader {
    private var rest: Substring.UTF8View

    init(_ text: String) { rest = Substring(text).utf8 }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func take(_ character: Character) -> Bool {
        guard rest.first == character.asciiValue else { return false }
        rest = rest.dropFirst()
        return true
    }

    mutating func number(_ digits: Int) -> Int? {
        let head = rest.prefix(digits)
        guard head.count == digits, head.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        rest = rest.dropFirst(digits)
        return head.reduce(0) { $0 * 10 + Int($1 - 0x30) }
    }

    /// Microseconds; digits beyond the sixth are dropped.
    mutating func fraction() -> Int64? {
        let digits = rest.prefix { (0x30...0x39).contains($0) }
        guard !digits.isEmpty else { return nil }
        rest = rest.dropFirst(digits.count)
        let six = digits.prefix(6).reduce(Int64(0)) { $0 * 10 + Int64($1 - 0x30) }
        return (0..<max(0, 6 - digits.count)).reduce(six) { value, _ in value * 10 }
    }

    /// Seconds east of UTC.
    mutating func zoneSeconds() -> Int? {
        if isAtEnd || take("Z") || take("z") { return 0 }
        let sign = take("+") ? 1 : take("-") ? -1 : 0
        guard sign != 0, let hours = number(2), take(":"), let minutes = number(2), hours < 24, minutes < 60 else {
            return nil
        }
        return sign * (hours * 3600 + minutes * 60)
    }
}

extension Int64 {
    fileprivate func flooredDivision(by divisor: Int64) -> Int64 {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? quotient - 1 : quotient
    }
}
