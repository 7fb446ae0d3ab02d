@testable import Execd

/// What clients of files send: forms of uploads, and patterns of searches.
enum FilesFuzz {
    private struct Part: Equatable {
        var headers: MultipartHeaders
        var content: [UInt8] = []
        var isEnded = false
    }

    /// The first byte says in pieces of what length the rest comes.
    static func multipart(_ bytes: UnsafeRawBufferPointer) {
        guard let first = bytes.first else { return }
        let body = UnsafeRawBufferPointer(rebasing: bytes.dropFirst())
        let whole = read(body, piece: max(1, body.count)), pieces = read(body, piece: Int(first & 15) + 1)
        promise(whole.failure == pieces.failure, "a form is refused for another reason when it comes in pieces")
        promise(whole.failure != nil || whole.parts == pieces.parts, "a form is another one when it comes in pieces")
        for part in pieces.parts {
            promise(part.isEnded || pieces.failure != nil, "a part without an end")
            for border in ["\r\n--b\r\n", "\r\n--b--"] {
                let places = part.content.indices
                promise(
                    !places.contains { part.content[$0...].starts(with: border.utf8) }, "a border within a part")
            }
        }
        _ = try? MultipartHeaders.boundary(contentType: String(decoding: body, as: UTF8.self))
    }

    private static func read(
        _ body: UnsafeRawBufferPointer, piece: Int
    ) -> (parts: [Part], failure: MultipartParser.MultipartError?) {
        var parser = MultipartParser(boundary: "b"), parts: [Part] = []
        do {
            for start in stride(from: 0, to: body.count, by: piece) {
                let end = min(start + piece, body.count)
                try parser.push(UnsafeRawBufferPointer(rebasing: body[start..<end])) { event in
                    switch event {
                    case .part(let headers): parts.append(Part(headers: headers))
                    case .bytes(let bytes): parts[parts.count - 1].content += Array(bytes)
                    case .partEnded: parts[parts.count - 1].isEnded = true
                    }
                }
            }
            try parser.finish()
            return (parts, nil)
        } catch { return (parts, error as? MultipartParser.MultipartError) }
    }

    /// A pattern and a name, with NUL between them. One that takes long is libFuzzer's to find.
    static func glob(_ bytes: UnsafeRawBufferPointer) {
        let texts = bytes.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
        guard texts.count == 2 else { return }
        let name = Array(texts[1])
        let escaped = name.map { "\\\($0)" }.joined()
        // A name may begin with what joins the character before it.
        if escaped.count == 2 * name.count {
            promise((try? GlobPattern(escaped))?.matches(texts[1]) == true, "a name that is not its own pattern")
        }
        guard let pattern = try? GlobPattern(texts[0]) else { return }
        let matches = pattern.matches(texts[1])
        guard !texts[0].contains(where: { $0 == "[" || $0 == "\\" }) else { return }
        var plain = Substring(texts[0])
        while plain.hasPrefix("**/") { plain = plain.dropFirst(3) }
        promise(matches == Self.matches(Array(plain), name), "a name matches that should not, or the other way about")
    }

    /// The same for patterns of `*`, `?` and other characters, by a table of what prefixes match.
    private static func matches(_ pattern: [Character], _ name: [Character]) -> Bool {
        var row = [true] + name.map { _ in false }
        for part in pattern {
            var next = [part == "*" && row[0]]
            for (place, character) in name.enumerated() {
                let isNext = row[place] && (part == "?" || part == character)
                next.append(part == "*" ? row[place + 1] || next[place] : isNext)
            }
            row = next
        }
        return row[name.count]
    }
}
