import SafeText

/// Rows below headings, each column as wide as its widest text. What others wrote is escaped.
package struct TextTable: Sendable {
    private static let widest = 64

    private let headings: [String]
    private var rows: [[String]] = []

    package init(_ headings: String...) { self.headings = headings }

    /// Takes one text for each heading.
    package mutating func add(_ cells: [String]) {
        rows.append(cells.map { $0.isEmpty ? "-" : ForeignText.escaped($0, limit: Self.widest) })
    }

    package var text: String {
        let lines = [headings] + rows
        let widths = headings.indices.map { column in lines.map { $0[column].unicodeScalars.count }.max() ?? 0 }
        return lines.map { line in
            let cells = line.enumerated().map { column, cell in
                column == headings.count - 1
                    ? cell : cell + String(repeating: " ", count: widths[column] - cell.unicodeScalars.count)
            }
            return cells.joined(separator: "  ") + "\n"
        }.joined()
    }
}
