/// What is typed at a terminal, and the way out of it: `~.` at the beginning of a line. `~~` there is one `~`. It is looked for
/// before anything is sent, so that it works when nothing answers any more.
package struct EscapedInput: Sendable {
    package struct Piece: Hashable, Sendable {
        /// What is sent on.
        package var bytes: [UInt8] = []
        /// Whether the rest is not wanted, since the way out was taken.
        package var leaves = false
    }

    private static let escape = UInt8(ascii: "~")
    private static let leave = UInt8(ascii: ".")
    private static let breaks = [UInt8(ascii: "\r"), UInt8(ascii: "\n")]

    private var isAtStart = true
    /// A `~` at the beginning of a line that has not been sent.
    private var isEscaped = false

    package init() {}

    package mutating func take(_ typed: [UInt8]) -> Piece {
        var piece = Piece()
        for byte in typed {
            if isEscaped {
                isEscaped = false
                if byte == Self.leave {
                    piece.leaves = true
                    return piece
                }
                piece.bytes.append(Self.escape)
                if byte == Self.escape { continue }
            } else if isAtStart, byte == Self.escape {
                (isEscaped, isAtStart) = (true, false)
                continue
            }
            piece.bytes.append(byte)
            isAtStart = Self.breaks.contains(byte)
        }
        return piece
    }
}
