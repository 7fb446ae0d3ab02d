/// What the `language` of a request asks for (docs/wire.md#code).
enum CodeLanguage: Hashable, Sendable {
    /// A shell run without a context, as `POST /command` has it.
    case command, backgroundCommand
    /// A kernel that keeps its state from run to run.
    case kernel(KernelLanguage)

    /// - Parameter name: nil or empty for a shell run. Names are compared without case and outer space; the short names
    ///   that people write for a language count, too.
    init?(_ name: String?) {
        let name = KernelLanguage.plain(name ?? "")
        switch name {
        case "", "command": self = .command
        case "background-command": self = .backgroundCommand
        default:
            guard let language = KernelLanguage(name: name) else { return nil }
            self = .kernel(language)
        }
    }
}

/// A language of contexts, by the name that clients and Jupyter's kernels have for it.
enum KernelLanguage: String, CaseIterable, Hashable, Sendable {
    case python, bash, java, javascript, typescript, go

    private static let aliases: [String: KernelLanguage] = [
        "py": .python, "python3": .python, "sh": .bash, "shell": .bash, "js": .javascript, "node": .javascript,
        "nodejs": .javascript, "ts": .typescript, "golang": .go,
    ]

    init?(name: String) {
        let name = Self.plain(name)
        guard let language = KernelLanguage(rawValue: name) ?? Self.aliases[name] else { return nil }
        self = language
    }

    fileprivate static func plain(_ name: String) -> String {
        let words = name.prefix(64).split(whereSeparator: \.isWhitespace)
        return words.count == 1 ? words[0].lowercased() : words.joined(separator: " ").lowercased()
    }
}
