/// Rows below headings for people, each column as wide as its widest text. What others wrote is escaped.
package struct TextTable: Sendable {
    /// Unicode scalars of a text; what is longer is no id and no name.
    private static let longest = 256

    private let headings: [String]
    private var rows: [[String]] = []

    package init(_ headings: String...) { self.headings = headings }

    /// - Parameter cells: one for each heading; an empty one is shown as a dash.
    package mutating func add(_ cells: [String]) {
        rows.append(cells.map { $0.isEmpty ? "-" : ForeignText.escaped($0, limit: Self.longest) })
    }

    package var lines: [String] {
        let lines = [headings] + rows
        let widths = headings.indices.map { column in lines.map { $0[column].unicodeScalars.count }.max() ?? 0 }
        return lines.map { line in
            line.enumerated().map { column, cell in
                column == headings.count - 1
                    ? cell : cell + String(repeating: " ", count: widths[column] + 2 - cell.unicodeScalars.count)
            }.joined()
        }
    }

    package var text: String { lines.map { $0 + "\n" }.joined() }
}
