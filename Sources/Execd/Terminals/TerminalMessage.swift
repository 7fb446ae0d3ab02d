import JSON

#if canImport(Glibc)
    import Glibc
#endif

/// What a client of a terminal says, in one message of its WebSocket (docs/execd.md#terminals).
enum TerminalMessage: Hashable, Sendable {
    case input([UInt8])
    case signal(CInt)
    case resize(TerminalSize)
    case ping
    /// What has no effect: text that is no JSON, an unknown signal, a size of zero, an empty message.
    case nothing
    /// A `type` that nobody knows.
    case unknown(String)

    static let signals = [
        "SIGINT": SIGINT, "SIGTERM": SIGTERM, "SIGKILL": SIGKILL, "SIGQUIT": SIGQUIT, "SIGHUP": SIGHUP,
    ]

    init(binary bytes: [UInt8]) {
        guard bytes.first == TerminalFrame.Kind.input.rawValue, bytes.count > 1 else {
            self = .nothing
            return
        }
        self = .input(Array(bytes.dropFirst()))
    }

    init(text: String) {
        guard let value = try? JSONValue(Array(text.utf8)), case .object = value else {
            self = .nothing
            return
        }
        let type: String
        switch value["type"] {
        case .string(let text)?: type = text
        case nil, .null?: type = ""
        default:
            self = .nothing
            return
        }
        switch type {
        case "stdin":
            guard case .string(let data)? = value["data"], !data.isEmpty else {
                self = .nothing
                return
            }
            self = .input(Array(data.utf8))
        case "signal":
            guard case .string(let name)? = value["signal"], let number = Self.signals[name] else {
                self = .nothing
                return
            }
            self = .signal(number)
        case "resize":
            guard let columns = Self.count(value["cols"]), let rows = Self.count(value["rows"]) else {
                self = .nothing
                return
            }
            self = .resize(TerminalSize(columns: columns, rows: rows))
        case "ping": self = .ping
        default: self = .unknown(String(type.prefix(64)))
        }
    }

    private static func count(_ value: JSONValue?) -> UInt16? {
        guard case .integer(let number)? = value, number > 0 else { return nil }
        return UInt16(exactly: number)
    }
}
