/// What a cell says at a glance. A terminal shows it as a colour, so the text has to say it, too.
package enum Tone: Sendable {
    case good, doubtful, bad

    /// A parameter of SGR (ECMA-48): the colour of a text.
    fileprivate var parameter: String {
        switch self {
        case .good: "32"
        case .doubtful: "33"
        case .bad: "31"
        }
    }
}

/// Rows below headings for people, each column as wide as its widest text. What others wrote is escaped.
package struct TextTable: Sendable {
    private let headings: [String]
    private let longest: Int
    private var rows: [[String]] = []
    /// By row and column.
    private var tones: [Int: [Int: Tone]] = [:]

    /// - Parameter longest: Unicode scalars of a text; what is longer than 256 is no id and no name.
    package init(_ headings: String..., longest: Int = 256) { (self.headings, self.longest) = (headings, longest) }

    /// - Parameters:
    ///   - cells: one for each heading; an empty one is shown as a dash.
    ///   - tones: of some of them, by column.
    package mutating func add(_ cells: [String], tones: [Int: Tone] = [:]) {
        if !tones.isEmpty { self.tones[rows.count] = tones }
        rows.append(cells.map { $0.isEmpty ? "-" : ForeignText.escaped($0, limit: longest) })
    }

    package var text: String { text(inColour: false) }

    /// - Parameter inColour: whether headings are bold and cells have the colours of their tones.
    package func text(inColour: Bool) -> String { lines(inColour: inColour).map { $0 + "\n" }.joined() }

    private func lines(inColour: Bool) -> [String] {
        let lines = [headings] + rows
        let widths = headings.indices.map { column in lines.map { $0[column].unicodeScalars.count }.max() ?? 0 }
        return lines.enumerated().map { row, line in
            line.enumerated().map { column, cell in
                let isLast = column == headings.count - 1
                let padding = isLast ? 0 : widths[column] + 2 - cell.unicodeScalars.count
                // The first line is the headings'.
                let style = row == 0 ? "1" : tones[row - 1]?[column]?.parameter
                return (inColour ? Self.styled(cell, style) : cell) + String(repeating: " ", count: padding)
            }.joined()
        }
    }

    private static func styled(_ text: String, _ parameter: String?) -> String {
        guard let parameter, !text.isEmpty else { return text }
        return "\u{1b}[\(parameter)m\(text)\u{1b}[0m"
    }
}
