import JSON
import Logging
import SafeText
import System

#if canImport(Glibc)
    import Glibc
#endif

/// One JSON object per line, for log collectors.
package struct JSONLogHandler: LogHandler {
    package let label: String
    package var logLevel = Logger.Level.info
    package var metadata = Logger.Metadata()
    package var metadataProvider: Logger.MetadataProvider? = .request
    /// Writes a finished line.
    package var write: @Sendable ([UInt8]) -> Void = { line in
        // One write per line, so that lines of several threads and processes do not mix.
        _ = line.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    package init(label: String) { self.label = label }

    package subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var fields = metadata.merging(metadataProvider?.get() ?? [:]) { _, new in new }
        fields.merge(event.metadata ?? [:]) { _, new in new }
        var record = fields.mapValues { ForeignText.escaped("\($0)") }
        record["time"] = InternetTime.text(Int64(time(nil)), nanoseconds: nil)
        record["level"] = event.level.rawValue
        record["logger"] = label
        record["message"] = ForeignText.escaped("\(event.message)")
        guard let line = try? JSONText.of(record) else { return }
        write(line + [UInt8(ascii: "\n")])
    }
}
