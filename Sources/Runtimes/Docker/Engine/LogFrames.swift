/// Takes the output of a container without a terminal apart: frames of a stream's number, three zeros, the length in four
/// bytes, and the text (Docker Engine API, "Attach to a container").
struct LogFrames: Hashable, Sendable {
    private var header: [UInt8] = []
    /// Bytes of the present frame that are still to come.
    private var left = 0

    /// Whether what has come so far is no such stream.
    private(set) var isBroken = false

    private static let headerLength = 8

    /// - Returns: the text in these bytes, of whatever stream.
    mutating func take(_ bytes: some Collection<UInt8>) -> [UInt8] {
        var text: [UInt8] = []
        var rest = Array(bytes)[...]
        while !rest.isEmpty, !isBroken {
            guard left == 0 else {
                let part = rest.prefix(left)
                text += part
                left -= part.count
                rest = rest.dropFirst(part.count)
                continue
            }
            let part = rest.prefix(Self.headerLength - header.count)
            header += part
            rest = rest.dropFirst(part.count)
            guard header.count == Self.headerLength else { break }
            guard header[0] <= 3, header[1...3].allSatisfy({ $0 == 0 }) else {
                isBroken = true
                break
            }
            left = header[4...7].reduce(0) { $0 << 8 | Int($1) }
            header = []
        }
        return text
    }
}
