import LogLines
import Logging
import Metrics
import Synchronization
import System

/// The format of log lines. Both go to standard error.
package enum LogFormat: String, Sendable, CaseIterable {
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
        self.level = level
        LoggingSystem.bootstrap { label in
            var handler: any LogHandler
            switch format {
            case .text: handler = TextLogHandler(label: label)
            case .json: handler = JSONLogHandler(label: label)
            }
            handler.logLevel = .trace
            if let process { handler[metadataKey: "process"] = "\(process)" }
            return LeveledHandler(handler)
        }
        return bootstrapMetrics()
    }

    private static let levelNumber = Atomic<Int>(Logger.Level.info.place)

    /// The least level of lines that are written, of loggers that have been given no other. It may change at any time.
    package static var level: Logger.Level {
        get {
            let number = levelNumber.load(ordering: .relaxed)
            return Logger.Level.allCases[min(max(number, 0), Logger.Level.allCases.count - 1)]
        }
        set { levelNumber.store(newValue.place, ordering: .relaxed) }
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

extension Logger.Level {
    fileprivate var place: Int { Self.allCases.firstIndex(of: self)! }
}

/// A handler whose level is the program's, so that it can change.
private struct LeveledHandler: LogHandler {
    private var base: any LogHandler
    private var own: Logger.Level?

    init(_ base: any LogHandler) { self.base = base }

    var logLevel: Logger.Level {
        get { own ?? Observability.level }
        set { own = newValue }
    }
    var metadata: Logger.Metadata {
        get { base.metadata }
        set { base.metadata = newValue }
    }
    var metadataProvider: Logger.MetadataProvider? {
        get { base.metadataProvider }
        set { base.metadataProvider = newValue }
    }

    subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { base[metadataKey: key] }
        set { base[metadataKey: key] = newValue }
    }

    func log(event: LogEvent) { base.log(event: event) }
}
