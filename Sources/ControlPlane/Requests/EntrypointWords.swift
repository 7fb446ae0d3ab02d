/// An entrypoint that is one text with blanks: its words by a shell's rules for quotes, and nothing else of a shell's.
enum EntrypointWords {
    /// - Returns: nil where the list is to be taken as it is.
    /// - Throws: a sentence, where a quote or a backslash has no end, or no word is there.
    static func split(_ entrypoint: [String]) throws(APIError) -> [String]? {
        guard entrypoint.count == 1, entrypoint[0].utf8.contains(where: isBlank) else { return nil }
        guard let words = words(entrypoint[0]) else {
            throw .parameter(
                "entrypoint: a quote or a backslash of its one text has no end; give the words one by one, as a list")
        }
        guard let program = words.first, !program.isEmpty else {
            throw .parameter("entrypoint: its text names no program")
        }
        return words
    }

    private static func isBlank(_ byte: UInt8) -> Bool { [0x20, 0x09, 0x0A, 0x0D].contains(byte) }

    /// Between single quotes everything stands for itself. A backslash takes the next byte as it is; between double quotes only a
    /// double quote or another backslash.
    /// - Returns: nil where the text ends in between.
    static func words(_ text: String) -> [String]? {
        var words: [String] = [], word: [UInt8] = [], isWord = false, quote: UInt8?
        func end() {
            if isWord { words.append(String(decoding: word, as: UTF8.self)) }
            word.removeAll(keepingCapacity: true)
            isWord = false
        }
        var bytes = text.utf8.makeIterator()
        while let byte = bytes.next() {
            switch (byte, quote) {
            case (UInt8(ascii: "\\"), nil), (UInt8(ascii: "\\"), UInt8(ascii: "\"")):
                guard let next = bytes.next() else { return nil }
                if quote != nil, next != UInt8(ascii: "\""), next != UInt8(ascii: "\\") { word.append(byte) }
                word.append(next)
                isWord = true
            case (UInt8(ascii: "'"), nil), (UInt8(ascii: "\""), nil):
                quote = byte
                // Quotes with nothing between them are a word, too.
                isWord = true
            case (let close, let open?) where close == open: quote = nil
            case (let blank, nil) where isBlank(blank): end()
            default:
                word.append(byte)
                isWord = true
            }
        }
        guard quote == nil else { return nil }
        end()
        return words
    }
}
