import SafeText

/// A line for a person who waits, which takes the place of the one before it.
package struct ProgressText: Sendable {
    private static let clear = "\r\u{1B}[K"

    private let what: String
    private let columns: Int

    /// - Parameter columns: of the terminal; a longer line would go on in the next one, and stay.
    package init(_ what: String, columns: Int) {
        self.what = ForeignText.escaped(what, limit: 256)
        self.columns = max(columns, 1)
    }

    package func line(seconds: Int64) -> String {
        let time = " " + Span.text(seconds)
        let room = max(columns - 1 - time.count, 0)
        let text = what.count > room ? String(what.prefix(max(room - 1, 0))) + "…" : what
        return Self.clear + String((text + time).prefix(columns))
    }

    /// What takes the line away.
    package static var end: String { clear }
}
