import Logging
import NetworkPolicy
import Synchronization

/// The names whose denials the operator does not want in the log. They are counted all the same.
package final class LogSkip: Sendable {
    private let targets: Mutex<Set<Target>>

    init(_ targets: [Target]) { self.targets = Mutex(Set(targets)) }

    func replace(_ targets: [Target]) { self.targets.withLock { $0 = Set(targets) } }

    func contains(_ text: String) -> Bool {
        targets.withLock { targets in
            guard !targets.isEmpty, let name = try? DomainName(text) else { return false }
            if targets.contains(.name(name)) { return true }
            var ancestor = name.parent
            while let zone = ancestor {
                if targets.contains(.wildcard(zone)) { return true }
                ancestor = zone.parent
            }
            return false
        }
    }
}

/// Drops log lines about skipped names.
struct SkippingLogHandler: LogHandler {
    var base: any LogHandler
    let skip: LogSkip

    var logLevel: Logger.Level {
        get { base.logLevel }
        set { base.logLevel = newValue }
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

    func log(event: LogEvent) {
        if let name = event.metadata?["name"], skip.contains("\(name)") { return }
        base.log(event: event)
    }
}
