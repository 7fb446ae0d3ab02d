import Logging
import SafeText

/// One line per message, for people. Messages and metadata may contain text from sandboxes, images and peers; it is
/// escaped, so that it cannot add lines or control the terminal.
package struct TextLogHandler: LogHandler {
    private var lines: StreamLogHandler

    package init(label: String) {
        lines = .standardError(label: label)
        metadataProvider = .request
    }

    package var logLevel: Logger.Level {
        get { lines.logLevel }
        set { lines.logLevel = newValue }
    }
    package var metadata: Logger.Metadata {
        get { lines.metadata }
        set { lines.metadata = Self.escaped(newValue) }
    }
    package var metadataProvider: Logger.MetadataProvider? {
        get { lines.metadataProvider }
        set { lines.metadataProvider = newValue.map { provider in .init { Self.escaped(provider.get()) } } }
    }

    package subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { lines[metadataKey: key] }
        set { lines[metadataKey: key] = newValue.map { .string(ForeignText.escaped("\($0)")) } }
    }

    package func log(event: LogEvent) { lines.log(event: Self.escaped(event)) }

    package static func escaped(_ event: LogEvent) -> LogEvent {
        var event = event
        var metadata = event.metadata ?? [:]
        if let error = event.error { metadata["error"] = "\(error)" }
        event.error = nil
        event.message = "\(ForeignText.escaped("\(event.message)"))"
        event.metadata = escaped(metadata)
        return event
    }

    private static func escaped(_ metadata: Logger.Metadata) -> Logger.Metadata {
        metadata.mapValues { .string(ForeignText.escaped("\($0)")) }
    }
}
