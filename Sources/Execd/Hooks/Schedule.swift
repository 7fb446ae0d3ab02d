/// When something is to happen again and again: five fields of cron (minute, hour, day of the month, month, day of the week), in
/// UTC; `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`; or `@every` and a duration of a second at least. A value.
struct Schedule: Hashable, Sendable {
    private enum Kind: Hashable {
        case every(seconds: Int64)
        case calendar(Fields)
    }

    /// Bit n of each is set where n fits.
    fileprivate struct Fields: Hashable {
        var minutes, hours, days, months, weekdays: UInt64
        /// Where both the day of the month and that of the week are restricted, either is enough, as cron has it.
        var eitherDay: Bool
    }

    private let kind: Kind

    private static let names = [
        "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
        "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
    ]

    init?(_ text: String) {
        guard text.utf8.count <= 256 else { return nil }
        let words = (Self.names[text] ?? text).split(separator: " ").map(String.init)
        if words.first == "@every" {
            guard words.count == 2, let length = GoDuration(words[1]), length.nanoseconds >= 1_000_000_000 else {
                return nil
            }
            kind = .every(seconds: length.nanoseconds / 1_000_000_000)
            return
        }
        let weekdays = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
        let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
        guard words.count == 5, let minutes = Self.bits(words[0], 0...59), let hours = Self.bits(words[1], 0...23),
            let days = Self.bits(words[2], 1...31), let monthBits = Self.bits(words[3], 1...12, months, first: 1),
            let weekdayBits = Self.bits(words[4], 0...7, weekdays, first: 0)
        else { return nil }
        let fields = Fields(
            minutes: minutes, hours: hours, days: days, months: monthBits,
            // Sunday is 0 and 7.
            weekdays: weekdayBits | (weekdayBits >> 7 & 1),
            eitherDay: !words[2].hasPrefix("*") && !words[4].hasPrefix("*"))
        kind = .calendar(fields)
        // The 30th of February never comes.
        guard next(after: 0) != nil else { return nil }
    }

    /// `*`, `*/2`, `1-5`, `1-5/2`, `mon`, and lists of these.
    private static func bits(_ text: String, _ range: ClosedRange<Int>, _ names: [String] = [], first: Int = 0)
        -> UInt64?
    {
        func number(_ text: Substring) -> Int? {
            if let index = names.firstIndex(of: text.lowercased()) { return index + first }
            return text.utf8.count <= 2 && text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(text) : nil
        }
        var bits: UInt64 = 0
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let pieces = part.split(separator: "/", omittingEmptySubsequences: false)
            guard let span = pieces.first, pieces.count <= 2 else { return nil }
            let step = pieces.count == 2 ? number(pieces[1]) : 1
            let ends = span.split(separator: "-", omittingEmptySubsequences: false)
            var low: Int?, high: Int?
            if span == "*" {
                (low, high) = (range.lowerBound, range.upperBound)
            } else if ends.count == 2 {
                (low, high) = (number(ends[0]), number(ends[1]))
            } else if ends.count == 1 {
                low = number(ends[0])
                high = pieces.count == 2 ? range.upperBound : low
            }
            guard let step, step > 0, let low, let high, low <= high, range.contains(low), range.contains(high) else {
                return nil
            }
            for value in stride(from: low, through: high, by: step) { bits |= 1 << UInt64(value) }
        }
        return bits
    }

    /// The next time after a time, in seconds since 1970; nil where there is none within eight years.
    func next(after time: Int64) -> Int64? {
        switch kind {
        case .every(let seconds):
            let (next, overflows) = time.addingReportingOverflow(seconds)
            return overflows ? nil : next
        case .calendar(let fields):
            let minute = time / 60 + 1
            var day = minute / 1440
            // Leap years are eight years apart at the most.
            for _ in 0...(366 * 8 + 1) {
                if fields.fits(day: day) {
                    let first = day == minute / 1440 ? Int(minute % 1440) : 0
                    if let found = (first..<1440).first(where: fields.fits(minuteOfDay:)) {
                        return (day * 1440 + Int64(found)) * 60
                    }
                }
                day += 1
            }
            return nil
        }
    }
}

extension Schedule.Fields {
    fileprivate func fits(minuteOfDay minute: Int) -> Bool {
        minutes >> UInt64(minute % 60) & 1 == 1 && hours >> UInt64(minute / 60) & 1 == 1
    }

    /// - Parameter day: since 1970, which began with a Thursday.
    fileprivate func fits(day number: Int64) -> Bool {
        let (month, day) = Self.date(number)
        guard months >> UInt64(month) & 1 == 1 else { return false }
        let ofMonth = days >> UInt64(day) & 1 == 1, ofWeek = weekdays >> UInt64((number + 4) % 7) & 1 == 1
        return eitherDay ? ofMonth || ofWeek : ofMonth && ofWeek
    }

    /// Month and day of the Gregorian calendar. The year is taken to begin in March, so that the leap day is its last.
    private static func date(_ number: Int64) -> (month: Int, day: Int) {
        let days = number + 719_468
        let ofEra = days % 146_097
        let year = (ofEra - ofEra / 1460 + ofEra / 36_524 - ofEra / 146_096) / 365
        let ofYear = ofEra - (365 * year + year / 4 - year / 100)
        let month = (5 * ofYear + 2) / 153
        return (Int(month < 10 ? month + 3 : month - 9), Int(ofYear - (153 * month + 2) / 5 + 1))
    }
}
