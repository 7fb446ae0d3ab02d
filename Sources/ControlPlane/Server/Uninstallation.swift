import FoundationEssentials
import Logging
import Observability
import Runtimes
import System

#if canImport(Glibc)
    import Glibc
#endif

/// `sallyport uninstall`: ends what servers of a configuration have left on this machine. Sandboxes outlive their server, and so do the
/// rules that guard them, so whoever removes the program has to remove them first.
package struct Uninstallation: Sendable {
    private let settings: Settings
    private let removesState: Bool

    /// - Parameter removesState: whether images, snapshots, volumes, keys and records go, too.
    package init(_ settings: Settings, removesState: Bool) {
        self.settings = settings
        self.removesState = removesState
    }

    private var hasRun: Bool { access(settings.database, F_OK) == 0 }

    /// What would go, a line for each.
    package var plan: [String] {
        var lines = hasRun ? ["every sandbox of \(settings.database), with its files"] : []
        if settings.runtime == .local {
            lines.append("the firewall's table \(HostRules.table(tag: settings.local.tag))")
        }
        lines.append("the folder \(settings.local.runDirectory)")
        if removesState {
            lines.append("the folder \(settings.local.stateDirectory): images, snapshots, volumes, keys, records")
        }
        return lines
    }

    /// Does it. A server that runs refuses it.
    /// - Parameter say: is told what has gone, as it goes.
    package func run(metrics: MetricsRegistry, logger: Logger, say: @Sendable (String) -> Void) async throws {
        if hasRun {
            let server = try await AllInOneServer(settings: alone, metrics: metrics, logger: logger)
            let left = await server.deleteAll(say)
            await server.shutdown()
            guard left.isEmpty else {
                throw ConfigurationError(
                    "these sandboxes could not be removed, and all else stays for another try: "
                        + left.joined(separator: ", "))
            }
        }
        if settings.runtime == .local {
            do throws(RuntimeError) { try HostRules.remove(tag: settings.local.tag) } catch {
                throw ConfigurationError("the firewall's table cannot be removed: \(error)")
            }
            say("the firewall's table \(HostRules.table(tag: settings.local.tag))")
        }
        // Files of what has been deleted may still be on their way out.
        try remove(settings.sandboxesFolder)
        try remove(settings.local.runDirectory, say)
        if removesState { try remove(settings.local.stateDirectory, say) }
    }

    /// The settings of a server that nobody reaches and that makes nothing.
    private var alone: Settings {
        var alone = settings
        alone.gateway.isExternal = true
        alone.egress.isExternal = false
        (alone.server.host, alone.server.port, alone.server.tls) = ("127.0.0.1", 0, nil)
        alone.pools = []
        alone.renewal.isEnabled = false
        return alone
    }

    private func remove(_ folder: String, _ say: @Sendable (String) -> Void = { _ in }) throws(ConfigurationError) {
        guard access(folder, F_OK) == 0 else { return }
        do throws(RemovalError) { try TreeRemoval.remove(folder) } catch { throw ConfigurationError("\(error)") }
        say("the folder \(folder)")
    }
}

extension AllInOneServer {
    /// Deletes every sandbox.
    /// - Parameter say: is told of each that has gone.
    /// - Returns: the ids of those that could not be removed.
    func deleteAll(_ say: @Sendable (String) -> Void) async -> [String] {
        var left: [String] = []
        for sandbox in service.catalog.all {
            do throws(APIError) {
                try await service.delete(sandbox.id)
                say("the sandbox \(sandbox.id)")
            } catch { left.append(sandbox.id) }
        }
        return left
    }
}
