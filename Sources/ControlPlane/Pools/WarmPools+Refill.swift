import Logging
import NetworkPolicy
import Runtimes
import System
import Synchronization

/// Keeps as many sandboxes waiting as the pools' capacities say.
extension WarmPools {
    /// How many are made at once of pools whose image is known to be here: requests for sandboxes go first. Of any other pool one is
    /// made, which may have to wait for a registry, and takes no place of those.
    private static let maxMaking = 2

    private enum Work {
        case make(id: String, Pool)
        case remove(id: String)
        case pause(until: ContinuousClock.Instant)
    }

    /// Works until the task is cancelled, then removes all that wait.
    func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask { [self] in
                while (try? await Task.sleep(for: imageInterval)) != nil {
                    for buffer in all { await checkImage(buffer.pool.name) }
                }
            }
            for await _ in wakes {
                while !Task.isCancelled, let work = next() {
                    group.addTask { [self] in
                        switch work {
                        case .make(let id, let pool): await make(id, pool)
                        case .remove(let id): await destroy(id)
                        case .pause(let end):
                            try? await Task.sleep(until: end, clock: .continuous)
                            state.withLock { _ = $0.pauses.remove(end) }
                        }
                        wake()
                    }
                }
            }
        }
        let waiting = state.withLock { state in
            state.isEnding = true
            return state.buffers.keys.flatMap { state.buffers[$0]!.empty() }
        }
        // In a separate task, because this one has been cancelled.
        await Task { [self] in
            await destroy(waiting)
            // Their files are removed in the background; what is left then, the next server removes.
            for _ in 0..<Self.patience * 20 where !waiting.isEmpty && !runtime.leftovers.isEmpty {
                try? await Task.sleep(for: .milliseconds(50))
            }
        }.value
    }

    /// Seconds.
    private static let patience = 3

    /// Looks whether a pool's image is still the one that what waits was made from: a name can be given to another one, by a
    /// build, a pull or the registry. What is outdated is not handed out, and replaced.
    func checkImage(_ name: String) async {
        let buffer = state.withLock { $0.buffers[name] }
        guard let buffer, !buffer.available.isEmpty else { return }
        let reference = buffer.pool.template.image
        guard let image = await runtime.revision(ofImage: reference) else { return }
        let old = state.withLock { state in
            guard state.buffers[name]?.pool.template.image == reference else { return 0 }
            return state.buffers[name]!.imageIs(image)
        }
        guard old > 0 else { return }
        logger.info(
            "the image of a pool has changed; the sandboxes that wait are made again",
            metadata: ["pool": "\(name)", "image": "\(reference)", "outdated": "\(old)"])
        wake()
    }

    private func next() -> Work? {
        state.withLock { state in
            for name in state.buffers.keys { if let id = state.buffers[name]!.shed() { return .remove(id: id) } }
            let now = ContinuousClock.now
            if let end = state.leaving.values.max(), end > now { return Self.pause(until: end, &state) }
            let isFull = state.buffers.values.reduce(0) { $0 + ($1.isProven ? $1.making.count : 0) } >= Self.maxMaking
            let needy = state.buffers.values.filter { $0.missing > 0 && ($0.isProven ? !isFull : $0.making.isEmpty) }
            let ready = needy.filter { state.failing[$0.pool.name].map { $0.until <= now } ?? true }
            // Those that have least of what they want go first.
            guard let buffer = ready.min(by: { $0.available.count < $1.available.count }) else {
                return needy.compactMap { state.failing[$0.pool.name]?.until }.min()
                    .flatMap { Self.pause(until: $0, &state) }
            }
            let id = Sandbox.identifier()
            state.buffers[buffer.pool.name]!.began(making: id)
            return .make(id: id, buffer.pool)
        }
    }

    private static func pause(until end: ContinuousClock.Instant, _ state: inout State) -> Work? {
        guard state.pauses.allSatisfy({ $0 > end }) else { return nil }
        state.pauses.insert(end)
        return .pause(until: end)
    }

    private func make(_ id: String, _ pool: Pool) async {
        let name = pool.name, template = pool.template
        let spec = SandboxSpec(
            id: id, source: .image(template.image), entrypoint: [], environment: template.environment,
            limits: template.limits, policy: .denyAll, labels: SandboxLabels(owner: owner, id: id),
            execdToken: execdToken(id), isHeld: true)
        let placement: SandboxPlacement
        do throws(RuntimeError) {
            try await runtime.admit(template.limits)
            placement = try await runtime.create(spec) { _ in }
        } catch {
            state.withLock { state in
                // The pool may have been deleted, and made again from another template.
                guard state.buffers[name]?.pool.template == template else { return }
                state.buffers[name]!.gaveUp(making: id)
                var backOff = state.failing[name]?.backOff ?? BackOff(first: 500, longest: 30_000)
                let pause = backOff.next()
                state.failing[name] = (backOff, .now + .milliseconds(Int64(pause)))
            }
            if error != .cancelled {
                logger.warning(
                    "a sandbox of a pool could not be made", metadata: ["pool": "\(name)", "error": "\(error)"])
            }
            return
        }
        let isWanted = state.withLock { state in
            guard state.buffers[name]?.pool.template == template else { return false }
            state.failing[name] = nil
            return state.buffers[name]!.made(id, from: placement.image)
        }
        if !isWanted { await destroy(id) }
    }
}
