import FoundationEssentials
import HTTPClient
import Logging
import NetworkPolicy
import Spelling
import Synchronization
import System

/// How long the watch waits before it asks the engine again.
struct DockerWatch: Hashable, Sendable {
    var pause = BackOff(first: 100, longest: 5000)
    /// Whether it has been said that the engine is away.
    var isAway = false
}

extension DockerRuntime {
    /// Milliseconds without an event after which the watch is begun anew, since a connection may die without a word.
    private static let silence: UInt64 = 120_000

    /// Follows the engine's events until they break off. Each beginning may have missed some.
    func follow(_ watch: inout DockerWatch) async {
        do throws(EngineFailure) {
            // A little of what was before: the engine begins to listen after it has answered.
            let since = String(Int(Date.now.timeIntervalSince1970) - 2)
            let filters = EngineCall.filters([
                "type": ["container"], "label": ["\(SandboxLabels.ownerKey)=\(owner)"],
            ])
            var lines = try await engine.stream(
                EngineCall("GET", "events", query: [("since", since), filters]), patience: Self.silence
            ).lines
            if watch.isAway { logger.info("the engine answers again") }
            watch = DockerWatch()
            Task { await self.returned() }
            teller.yield(.missed)
            while let line = try await next(&lines) {
                if let event = try EngineEvent.read(line) { await take(event) }
            }
        } catch {
            guard error.kind != .cancelled else { return }
            if !watch.isAway, error.description.contains("no answer in time") == false {
                logger.error("the engine's events broke off", metadata: ["reason": "\(error)"])
                watch.isAway = true
            }
        }
        try? await Task.sleep(for: watch.pause.spread())
    }

    private func next(_ lines: inout ResponseStream.Lines) async throws(EngineFailure) -> [UInt8]? {
        do throws(HTTPClientError) { return try await lines.next() } catch {
            throw EngineFailure(error, engine: "\(engine.address)")
        }
    }

    /// Removes what could not be removed while the engine was away.
    private func returned() async {
        memory.withLock { $0.isRuntimeChecked = false }
        do throws(RuntimeError) { try await checkRuntime() } catch { logger.error("no sandbox can be made: \(error)") }
        if case .machine(let links) = network { await links.openPassage() }
        for id in memory.withLock({ $0.unremoved }) {
            do throws(RuntimeError) { try await remove(id) } catch {
                logger.warning("a sandbox is not removed yet", metadata: ["sandbox": "\(id)", "reason": "\(error)"])
            }
        }
    }

    private func take(_ event: EngineEvent) async {
        let part = event.attributes[ExactName(DockerNames.partKey)].flatMap(DockerNames.Part.init)
        if part == .sidecar, event.action == .destroyed { return await restoreGuard(event) }
        guard part == .workload, let id = event.attributes[ExactName(SandboxLabels.idKey)], LocalEngine.isIdentifier(id)
        else { return }
        switch event.action {
        case .died:
            do throws(RuntimeError) {
                guard let found = try await container(id), found.state.phase == .ended else { return }
                teller.yield(.exited(found.end(of: id)))
            } catch { teller.yield(.missed) }
        case .destroyed: teller.yield(.lost(id: id, reason: "its container was removed"))
        case .paused, .resumed:
            if !memory.withLock({ $0.takeOwnPause(id) }) { teller.yield(.missed) }
        case .other: break
        }
    }

    /// The guard of a sandbox that still runs was taken away. Its rules are in force, but nothing can be asked for and no name
    /// resolves until there is another: with the policy that it had, which is in its volume.
    private func restoreGuard(_ event: EngineEvent) async {
        guard case .engine(let sidecars) = network, let id = event.attributes[ExactName(SandboxLabels.idKey)],
            LocalEngine.isIdentifier(id), hasBegun(id)
        else { return }
        do throws(RuntimeError) {
            guard let found = try await container(id), [.running, .paused].contains(found.state.phase),
                try await sidecars.container(id) == nil
            else { return }
            logger.error("the guard of a sandbox was removed: it gets another", metadata: ["sandbox": "\(id)"])
            try await sidecars.start(id, found, policy: .denyAll)
        } catch {
            logger.error(
                "a sandbox has no guard that answers; what its rules refuse stays refused",
                metadata: ["sandbox": "\(id)", "reason": "\(error)"])
        }
    }
}
