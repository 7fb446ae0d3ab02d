import Logging
import Synchronization

/// Keeps the metadata of what is logged.
public final class RecordedLines: Sendable {
    private let lines = Mutex<[[String: String]]>([])
    public var all: [[String: String]] { lines.withLock { $0 } }

    public init() {}

    public func logger(_ level: Logger.Level = .debug) -> Logger {
        Logger(label: "test") { _ in Handler(logLevel: level, lines: self) }
    }

    private struct Handler: LogHandler {
        var logLevel: Logger.Level
        var metadata = Logger.Metadata()
        let lines: RecordedLines

        init(logLevel: Logger.Level, lines: RecordedLines) { (self.logLevel, self.lines) = (logLevel, lines) }

        subscript(metadataKey key: String) -> Logger.MetadataValue? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            let fields = (event.metadata ?? [:]).mapValues { "\($0)" }
            lines.lines.withLock { $0.append(fields) }
        }
    }
}
