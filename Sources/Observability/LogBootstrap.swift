import LogLines
import Logging
import Metrics
import System

/// The format of log lines. Both go to standard error.
package enum LogFormat: String, Sendable {
    case text, json
}

/// Sets up logging and metrics for a program. Call once, before anything else.
package enum Observability {
    /// The version of every program of this package.
    package static let release = Release.version

    /// - Parameters:
    ///   - level: the contract's names in any case (`DEBUG`, `INFO`, `WARNING`, `ERROR`) as well as swift-log's.
    ///   - process: on every line, where several processes write one log.
    /// - Returns: the metrics registry that renders what the program counts.
    @discardableResult
    package static func bootstrap(
        level: Logger.Level, format: LogFormat = .text, process: String? = nil
    ) -> MetricsRegistry {
        LoggingSystem.bootstrap { label in
            var handler: any LogHandler
            switch format {
            case .text: handler = TextLogHandler(label: label)
            case .json: handler = JSONLogHandler(label: label)
            }
            handler.logLevel = level
            if let process { handler[metadataKey: "process"] = "\(process)" }
            return handler
        }
        return bootstrapMetrics()
    }

    /// Sets up metrics only, for a program with its own logging.
    /// - Parameter common: dimensions of every series.
    package static func bootstrapMetrics(common: [MetricsRegistry.Dimension] = []) -> MetricsRegistry {
        let registry = MetricsRegistry(common: common)
        MetricsSystem.bootstrap(registry)
        return registry
    }

    /// The level with a configured name; nil if unknown.
    package static func level(named name: String) -> Logger.Level? {
        switch name.lowercased() {
        case "warn": .warning
        case "fatal": .critical
        case let name: Logger.Level(rawValue: name)
        }
    }
}
