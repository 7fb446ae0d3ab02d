import FoundationEssentials
import HTTPClient
import Logging
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
    /// How often what creates have left is looked for.
    private static let sweepMilliseconds: UInt64 = 60_000

    /// Follows the engine's events until they break off. Each beginning may have missed some.
    func follow(_ watch: inout DockerWatch) async {
        do throws(EngineFailure) {
            // A little of what was before: the engine begins to listen after it has answered.
            let since = String(Int(Date.now.timeIntervalSince1970) - 2)
            let filters = EngineCall.filters([
                "type": ["container"], "label": ["\(SandboxLabels.ownerKey)=\(owner)"],
                "event": EngineEvent.Action.names.keys.sorted(),
            ])
            var lines = try await engine.stream(
                EngineCall("GET", "events", query: [("since", since), filters]), patience: Self.silence
            ).lines
            if watch.isAway { logger.info("the engine answers again") }
            watch = DockerWatch()
            Task { await self.returned() }
            // Their events may have been missed.
            memory.withLock { $0.ownPauses = [:] }
            teller.yield(.missed)
            let sweeping = Task { [weak self] in
                // What was asked of the engine before may be done a moment after it has come back.
                var pause = BackOff(first: 1000, longest: Self.sweepMilliseconds)
                while !Task.isCancelled, let self {
                    await self.sweep()
                    await self.restoreGuards()
                    try? await Task.sleep(for: pause.spread())
                }
            }
            defer { sweeping.cancel() }
            while let line = try await next(&lines) {
                if let event = try EngineEvent.read(line) { await take(event) }
            }
        } catch {
            guard error.kind != .cancelled else { return }
            if !watch.isAway, error.description.contains("no answer in time") == false {
                logger.error("lost the engine's events; they are asked for again", metadata: ["error": "\(error)"])
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

    /// Asks an engine that answers again, which may be another one by now, whether it has what is configured.
    private func returned() async {
        memory.withLock { memory in
            memory.isRuntimeChecked = false
            memory.limitsDisks = false
        }
        do throws(RuntimeError) { try await checkRuntime() } catch { logger.error("no sandbox can be made: \(error)") }
        if case .machine(let links) = network { await links.openPassage() }
    }

    /// Labels may be those of an image that somebody made of a sandbox, and a name may have been changed. So no event says more than
    /// that there is something to be looked at.
    private func take(_ event: EngineEvent) async {
        guard let id = event.attributes[ExactName(SandboxLabels.idKey)], LocalEngine.isIdentifier(id) else { return }
        switch event.attributes[ExactName(DockerNames.partKey)].flatMap(DockerNames.Part.init) {
        case .sidecar: if [.died, .destroyed, .paused].contains(event.action) { restoreGuard(of: id) }
        case .workload: await take(event.action, of: id)
        default: break
        }
    }

    private func take(_ action: EngineEvent.Action, of id: String) async {
        switch action {
        case .died, .destroyed:
            guard !isPutOff(id) else { return }
            do throws(RuntimeError) {
                guard let found = try await container(id) else {
                    if action == .destroyed { teller.yield(.lost(id: id, reason: "its container was removed")) }
                    return
                }
                guard found.state.phase != .ended else {
                    teller.yield(.exited(found.end(of: id)))
                    return
                }
                guard hasBegun(id), !hasBegun(id, found) else { return }
                teller.yield(.lost(id: id, reason: "its container was started again, which begins without its program"))
            } catch { teller.yield(.missed) }
        case .paused, .resumed:
            if !memory.withLock({ $0.takeOwnPause(id) }) { teller.yield(.missed) }
        case .other: break
        }
    }

    /// Whether it is too early to say that a sandbox has ended: a container of one that is being made may be made again, with another
    /// port.
    private func isPutOff(_ id: String) -> Bool {
        guard !hasBegun(id) else { return false }
        return memory.withLock { memory in
            guard memory.making.contains(id) else { return false }
            memory.putOff.insert(id)
            return true
        }
    }

    /// Nobody makes the sandbox or lets it begin any more.
    func endMaking(_ id: String) {
        let hasEvents = memory.withLock { memory in
            memory.making.remove(id)
            return memory.putOff.remove(id) != nil
        }
        // Whatever has become of its container by now. One that was never told what to run is nobody's loss.
        if hasEvents { Task { await self.take(hasBegun(id) ? .destroyed : .died, of: id) } }
    }
}
