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

    /// Whether a server may have left sandboxes. Its database may be lost: the runtime knows them all the same.
    private var hasRun: Bool {
        let traces: [String] = [settings.database, settings.ownerFile, settings.sandboxesFolder]
        return traces.contains { path in access(path, F_OK) == 0 }
    }

    /// Whether this machine guards the sandboxes, and not a container beside each.
    private var hasHostRules: Bool { settings.egress.placement != .sidecar }

    /// What would go, a line for each. The package's scripts (deploy/debian) read in the last one where the state is.
    package var plan: [String] {
        var lines = hasRun ? ["every sandbox of \(settings.local.stateDirectory), with its files"] : []
        if hasHostRules { lines.append("the firewall's table \(HostRules.table(tag: settings.local.tag))") }
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
            let left = await server.deleteAll(in: settings.sandboxesFolder, say)
            await server.shutdown()
            guard left.isEmpty else {
                throw ConfigurationError(
                    "these sandboxes could not be removed, and all else stays for another try: "
                        + left.joined(separator: ", "))
            }
        }
        if hasHostRules { try removeRules(say) }
        // Files of what has been deleted may still be on their way out.
        try remove(settings.sandboxesFolder)
        try remove(settings.local.runDirectory, say)
        if removesState { try remove(settings.local.stateDirectory, say) }
        SharedTraces.removeUnused()
        MachineLocks().removeIfUnused()
    }

    private func removeRules(_ say: @Sendable (String) -> Void) throws(ConfigurationError) {
        let local = settings.local
        do throws(RuntimeError) { try HostRules.remove(tag: local.tag) } catch {
            throw ConfigurationError("the firewall's table cannot be removed: \(error)")
        }
        say("the firewall's table \(HostRules.table(tag: local.tag))")
        guard settings.runtime == .docker else { return }
        let count = HostRules.removeFromEngine(tag: local.tag, pool: local.addressPool, poolV6: local.addressPoolV6)
        if count > 0 { say("\(count) rules of the engine's firewall") }
    }

    /// The settings of a server that nobody reaches and that makes nothing.
    private var alone: Settings {
        var alone = settings
        alone.gateway.isExternal = true
        alone.egress.isExternal = false
        (alone.server.host, alone.server.port, alone.server.tls) = ("127.0.0.1", 0, nil)
        alone.pools = []
        alone.renewal.isEnabled = false
        alone.docker.keepsRules = false
        return alone
    }

    private func remove(_ folder: String, _ say: @Sendable (String) -> Void = { _ in }) throws(ConfigurationError) {
        guard access(folder, F_OK) == 0 else { return }
        do throws(RemovalError) { try TreeRemoval.remove(folder) } catch { throw ConfigurationError("\(error)") }
        say("the folder \(folder)")
    }
}

extension AllInOneServer {
    /// Deletes every sandbox that the store or the runtime knows, or that has a folder.
    /// - Parameters:
    ///   - folder: of the local runtime's sandboxes; it may not be there.
    ///   - say: is told of each that has gone.
    /// - Returns: those that could not be removed.
    func deleteAll(in folder: String, _ say: @Sendable (String) -> Void) async -> [String] {
        // Else stored pools would go on making sandboxes.
        await endPools()
        var left: [String] = []
        for sandbox in service.catalog.all {
            do throws(APIError) {
                try await service.delete(sandbox.id)
                say("the sandbox \(sandbox.id)")
            } catch { left.append(sandbox.id) }
        }
        do throws(RuntimeError) {
            // The store has no record of these that can be read.
            let unknown = try await service.runtime.owned().filter { !left.contains($0) }
            left += await destroy(unknown, say)
            guard left.isEmpty else { return left }
            // Nor has the runtime of these, which go by their folders' names. Then only the guard still has them, by their ids.
            left += await destroy(Self.sandboxes(in: folder), say)
            let guarded = try await service.runtime.owned().filter { !left.contains($0) }
            left += await destroy(guarded, say)
        } catch { left.append("those that the runtime cannot list (\(error))") }
        // What no runtime of this configuration can end.
        return left + Self.sandboxes(in: folder).filter { !left.contains($0) }
    }

    private static func sandboxes(in folder: String) -> [String] {
        (File.names(in: folder) ?? []).filter(LocalEngine.isIdentifier)
    }

    /// - Returns: those that could not be removed.
    private func destroy(_ ids: [String], _ say: @Sendable (String) -> Void) async -> [String] {
        var left: [String] = []
        for id in ids {
            do throws(APIError) {
                try await service.destroy(id, within: SandboxService.deletePatience)
                say("the sandbox \(id)")
            } catch { left.append(id) }
        }
        return left
    }
}
