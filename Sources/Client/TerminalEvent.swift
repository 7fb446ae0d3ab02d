import JSON
import System

#if canImport(Glibc)
    import Glibc
#endif

/// What execd says of a terminal to the client that holds it (docs/execd.md#terminals).
package enum TerminalEvent: Hashable, Sendable {
    case output([UInt8])
    /// The shell has ended, with this exit status: of one that a signal has ended 128 and the signal's number, as shells have it.
    case ended(Int32)
    case failed(String)
    /// What says nothing to a reader.
    case other

    /// Of bytes behind the kind of a message: none before output, eight before output that says its offset.
    package init(binary bytes: [UInt8]) {
        switch bytes.first {
        case 1, 2: self = .output(Array(bytes.dropFirst()))
        case 3: self = .output(Array(bytes.dropFirst(9)))
        default: self = .other
        }
    }

    package init(text: String) {
        let notice = try? JSONValue(Array(text.utf8))
        guard case .string(let type)? = notice?["type"] else {
            self = .other
            return
        }
        switch type {
        case "exit": self = .ended(Self.status(notice))
        case "error":
            if case .string(let reason)? = notice?["error"] { self = .failed(reason) } else { self = .failed(type) }
        default: self = .other
        }
    }

    private static func status(_ notice: JSONValue?) -> Int32 {
        if case .string(let name)? = notice?["signal"], let number = signals[name] { return 128 + number }
        guard case .integer(let code)? = notice?["exit_code"], (0...255).contains(code) else { return 255 }
        return Int32(code)
    }

    private static let signals: [String: Int32] = [
        "SIGHUP": SIGHUP, "SIGINT": SIGINT, "SIGQUIT": SIGQUIT, "SIGILL": SIGILL, "SIGTRAP": SIGTRAP,
        "SIGABRT": SIGABRT, "SIGBUS": SIGBUS, "SIGFPE": SIGFPE, "SIGKILL": SIGKILL, "SIGUSR1": SIGUSR1,
        "SIGSEGV": SIGSEGV, "SIGUSR2": SIGUSR2, "SIGPIPE": SIGPIPE, "SIGALRM": SIGALRM, "SIGTERM": SIGTERM,
        "SIGXCPU": SIGXCPU, "SIGXFSZ": SIGXFSZ, "SIGSYS": SIGSYS,
    ]
}

/// Columns and rows of characters.
package struct TerminalSize: Hashable, Sendable {
    package var columns: UInt16
    package var rows: UInt16

    /// A terminal that does not know its size says zero.
    package init(columns: UInt16, rows: UInt16) {
        (self.columns, self.rows) = (columns > 0 ? columns : 80, rows > 0 ? rows : 24)
    }

    package var message: String {
        let message = JSONValue.object([
            "type": .string("resize"), "cols": .integer(Int(columns)), "rows": .integer(Int(rows)),
        ])
        return String(decoding: message.encoded, as: UTF8.self)
    }
}

/// Words of a command line as one command of a shell, which splits them again as they were.
package enum ShellWords {
    package static func command(_ words: [String]) -> String { "exec " + words.map(quoted).joined(separator: " ") }

    private static func quoted(_ word: String) -> String {
        "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
}
