import SafeText

#if canImport(Glibc)
    import Glibc
#endif

/// Output for whoever started the program, unbuffered even if it is a pipe.
package enum Console {
    package static func say(_ text: String) { write(text, to: STDOUT_FILENO) }

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
