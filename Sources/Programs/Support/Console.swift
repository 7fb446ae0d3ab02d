import SafeText

#if canImport(Glibc)
    import Glibc
#endif

/// Output for whoever started the program, unbuffered even if it is a pipe.
package enum Console {
    package static func say(_ text: String) { write(text, to: STDOUT_FILENO) }

    package static func show(_ table: TextTable) { say(table.text(inColour: showsColour)) }

    /// Whether it goes to a terminal that knows colours, and whose user wants them (https://no-color.org).
    private static var showsColour: Bool {
        isScreen(STDOUT_FILENO) && variable("NO_COLOR").isEmpty
    }

    /// Whether it is a terminal that understands more than lines of text.
    package static func isScreen(_ descriptor: CInt) -> Bool {
        let kind = variable("TERM")
        return isatty(descriptor) == 1 && !kind.isEmpty && kind != "dumb"
    }

    private static func variable(_ name: String) -> String { getenv(name).map { String(cString: $0) } ?? "" }

    /// Error texts often quote foreign text.
    package static func complain(_ text: String) {
        write(ForeignText.escapedLines(text).joined(separator: "\n"), to: STDERR_FILENO)
    }

    private static func write(_ text: String, to descriptor: CInt) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard written > 0 else { return }
            rest = rest.dropFirst(written)
        }
    }
}
