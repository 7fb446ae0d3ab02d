/// Columns of text for people.
enum TextTable {
    /// Lines whose columns are as wide as their widest entry; the last one is as it is.
    static func lines(_ rows: [[String]]) -> [String] {
        let columns = max(0, (rows.map(\.count).max() ?? 0) - 1)
        let widths = (0..<columns).map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            row.enumerated().map { column, text in
                column < widths.count ? text + String(repeating: " ", count: widths[column] + 2 - text.count) : text
            }.joined()
        }
    }
}
