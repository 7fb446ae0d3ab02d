import Logging
import Observability

/// The log.
extension Settings {
    private static let standard = LogFileSettings()

    static let logSection = SettingSection(
        "log", "The log: on standard error, or in a file (docs/server.md#the-log).",
        [
            SettingKey(
                "level", "DEBUG, INFO, WARNING or ERROR", default: "\"INFO\"", "the least severe lines that are logged"
            ) {
                (value, settings) throws(ConfigurationError) in
                guard let level = Observability.level(named: try value.text()) else { throw value.wrong() }
                settings.logLevel = level
            }.live,
            .choice("format", \.log.format, "how lines look; --log-format goes before it"),
            SettingKey("file_enabled", "true or false", default: "false", "true: the log goes to a file"),
            SettingKey(
                "file_path", "an absolute path", default: "\"\(standard.path)\"",
                "that file; earlier ones are beside it, file_path.1 the latest"),
            SettingKey(
                "file_max_bytes", "1 to 10^12", default: "\(standard.maxBytes)", "bytes after which it is rotated"),
            SettingKey(
                "file_backup_count", "0 to 1000", default: "\(standard.backups)", "how many earlier ones are kept"),
            SettingKey(
                "file_max_age_seconds", "0 for never, or more", default: "0",
                "seconds after which it is rotated; 0: never"),
            SettingKey("file_compress", "true or false", default: "true", "earlier ones are gzip files"),
        ]
    ) { (values, settings) throws(ConfigurationError) in
        var file = standard
        if let value = values["file_path"], let path = try value.textOrNothing() {
            guard path.hasPrefix("/"), !path.hasSuffix("/"), path.utf8.count < 3000, !path.utf8.contains(0) else {
                throw value.wrong()
            }
            file.path = path
        }
        file.maxBytes = try values["file_max_bytes"]?.integer(in: 1...1_000_000_000_000) ?? file.maxBytes
        file.backups = try values["file_backup_count"]?.integer(in: 0...1000) ?? file.backups
        file.maxAge = try values["file_max_age_seconds"]?.integer(in: 0...RequestLimits.maxLife) ?? file.maxAge
        file.compresses = try values["file_compress"]?.flag() ?? file.compresses
        settings.log.file = try values["file_enabled"]?.flag() == true ? file : nil
    }
}
