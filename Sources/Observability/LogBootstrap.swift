import Logging
import Metrics

/// How log lines are written; both forms go to standard error.
public enum LogFormat: String, Sendable {
    case text, json
}

/// Sets up logging for a program. Called once, first thing.
public enum Observability {
    /// - Parameter level: the contract's names in any case (`DEBUG`, `INFO`, `WARNING`, `ERROR`) as well as swift-log's.
    /// - Returns: the metrics registry that renders what the program counts.
    @discardableResult
    public static func bootstrap(level: Logger.Level, format: LogFormat = .text) -> MetricsRegistry {
        LoggingSystem.bootstrap { label in
            var handler: any LogHandler
            switch format {
            case .text: handler = StreamLogHandler.standardError(label: label)
            case .json: handler = JSONLogHandler(label: label)
            }
            handler.logLevel = level
            return handler
        }
        let registry = MetricsRegistry()
        MetricsSystem.bootstrap(registry)
        return registry
    }

    /// The level of a configured name; nil for an unknown one.
    public static func level(named name: String) -> Logger.Level? {
        switch name.lowercased() {
        case "warn": .warning
        case "fatal": .critical
        case let name: Logger.Level(rawValue: name)
        }
    }
}
