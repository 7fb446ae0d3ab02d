/// Turns a stream of output bytes into event texts: valid UTF-8, no character cut in two, and every line break held back
/// until something follows it (CLIENTS.md, section 6.2: deferred newlines).
///
/// `one\ntwo\n` gives `one`, then `\ntwo`; the last line break is never sent.
struct TextAssembler: Sendable {
    private var pending: [UInt8] = []
    private var hasDeferredBreak = false

    /// The texts that can be sent now.
    mutating func append(_ bytes: [UInt8]) -> [String] {
        pending += bytes
        let whole = pending.count - Self.incompleteTail(pending)
        let text = pending[..<whole]
        pending.removeFirst(whole)
        return lines(Array(text))
    }

    /// What is left when the output has ended.
    mutating func finish() -> [String] {
        defer { pending = [] }
        return lines(pending)
    }

    /// One text for each line, so that what is printed line by line arrives line by line.
    private mutating func lines(_ bytes: [UInt8]) -> [String] {
        var texts: [String] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let end = rest.firstIndex(of: UInt8(ascii: "\n")) ?? rest.endIndex
            let line = rest[..<end]
            let endsLine = end < rest.endIndex
            rest = rest[(endsLine ? end + 1 : end)...]
            if line.isEmpty {
                // An empty line: its break is the one that was held back.
                if hasDeferredBreak { texts.append("\n") }
                hasDeferredBreak = true
                continue
            }
            texts.append((hasDeferredBreak ? "\n" : "") + String(decoding: line, as: UTF8.self))
            hasDeferredBreak = endsLine
        }
        return texts
    }

    /// How many bytes at the end may be the start of a character whose rest has not come yet.
    static func incompleteTail(_ bytes: [UInt8]) -> Int {
        for back in 1...3 where back <= bytes.count {
            let byte = bytes[bytes.count - back]
            if byte & 0xc0 == 0x80 { continue }
            let length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
            return length > back ? back : 0
        }
        return 0
    }
}
