import JSON
import Logging
import Synchronization

/// The configuration of a program that runs, which it reads again when it is asked to (SIGHUP).
package final class RunningConfiguration: Sendable {
    private let path: String?
    private let environment: [String: String]
    private let adjust: @Sendable (inout Settings) -> Void
    private let check: @Sendable (Settings) throws(ConfigurationError) -> Void
    private let state: Mutex<(tree: JSONValue, file: String?)>

    /// In force.
    var tree: JSONValue { state.withLock { $0.tree } }
    /// Of the file that was read; nil for none.
    var file: String? { state.withLock { $0.file } }

    /// Reads it for the first time.
    /// - Parameters:
    ///   - path: as `Settings.load` takes it.
    ///   - adjust: applies the command line.
    ///   - check: refuses what this program cannot run with.
    package init(
        path: String?, environment: [String: String], adjust: @escaping @Sendable (inout Settings) -> Void,
        check: @escaping @Sendable (Settings) throws(ConfigurationError) -> Void = { (_) throws(ConfigurationError) in }
    ) throws(ConfigurationError) {
        (self.path, self.environment, self.adjust, self.check) = (path, environment, adjust, check)
        let found = try Settings.tree(path: path, environment: environment)
        state = Mutex((found?.tree ?? .object(JSONObject()), found?.path))
    }

    package func settings() throws(ConfigurationError) -> Settings {
        let settings = try read(tree, file)
        try check(settings)
        return settings
    }

    private func read(_ tree: JSONValue, _ file: String?) throws(ConfigurationError) -> Settings {
        var settings = Settings()
        if let file {
            try settings.apply(tree, path: file)
            settings.file = file
        }
        try settings.apply(environment: environment)
        adjust(&settings)
        return settings
    }

    /// Reads the file again, says in the log what has become of it, and takes what may change.
    /// - Returns: the settings in force now, also where none has changed, since a file that one names may be another now;
    ///   nil where they cannot be used.
    package func reload(_ logger: Logger) -> Settings? {
        do throws(ConfigurationError) {
            let found = try Settings.tree(path: path, environment: environment)
            let new = found?.tree ?? .object(JSONObject())
            let file = found?.path ?? file
            // Whole, so that nothing of a broken file is taken.
            try check(read(new, file))
            let change = SettingsChange(from: tree, to: new)
            let settings = try read(change.tree, file)
            try check(settings)
            state.withLock { $0 = (change.tree, file) }
            if !change.left.isEmpty {
                logger.warning(
                    "changed settings that take effect only after a restart",
                    metadata: ["keys": "\(change.left.joined(separator: ", "))"])
            }
            logger.info(
                "configuration reloaded",
                metadata: ["changed": "\(change.taken.isEmpty ? "nothing" : change.taken.joined(separator: ", "))"])
            return settings
        } catch {
            logger.error(
                "the changed configuration cannot be used; the previous one stays in force",
                metadata: ["error": "\(error)"])
            return nil
        }
    }
}
