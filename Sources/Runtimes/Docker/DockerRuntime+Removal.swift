import HTTPClient
import Logging
import NetworkPolicy
import Spelling
import Synchronization
import System

/// The end of sandboxes, and of what creates have left that did not come to their end.
extension DockerRuntime {
    package func delete(_ id: String) async throws(RuntimeError) {
        let id = try Self.checked(id)
        let found = try await container(id)
        if let found { noteImage(found, of: id) }
        try await remove(id)
        await forgetImage(of: id)
    }

    /// Removes what a create has left, now or as soon as the engine lets it.
    func giveUp(_ id: String) async {
        do throws(RuntimeError) { try await remove(id) } catch {
            logger.warning(
                "a sandbox could not be removed yet; it is tried again",
                metadata: ["sandbox": "\(id)", "error": "\(error)"])
            removeLater(id)
        }
    }

    /// Each part may be missing. The guard goes last, and what cannot go keeps no other part from going.
    func remove(_ id: String) async throws(RuntimeError) {
        let found = try await container(id)
        let sidecar: String? = if case .engine(let sidecars) = network { try await sidecars.find(id)?.id } else { nil }
        do throws(EngineFailure) {
            // By what it is, since a name may be another's.
            if let found { try await removeWorkload(found.id, of: id) }
            // The guard after what it guards.
            if let sidecar { try await removeContainer(sidecar) }
        } catch { throw RuntimeError(error, "removing \(id)") }
        // Nothing of the sandbox runs any more.
        forgetShared(id)
        try await unpublish(id)
        if case .machine(let links) = network {
            // One that this server has not met yet.
            if let host = found?.linkNumber { links.occupy(id, host) }
            try await links.remove(id)
        }
        forgetBegun(id)
        memory.withLock {
            $0.tokens[id] = nil
            $0.ownPauses[id] = nil
            $0.ends[id] = nil
        }
        await namespaceGuard.release(id)
        try await volumes.end(id)
        var isWhole = try await removeVolume(DockerNames.volume(id))
        if case .engine = network { isWhole = try await removeVolume(DockerNames.sidecarVolume(id)) && isWhole }
        guard !isWhole else { return }
        logger.warning(
            "another container has a sandbox's volume, which stays until that is gone", metadata: ["sandbox": "\(id)"])
        removeLater(id)
    }

    /// What waits for a bucket whose program does not answer ends by no signal: when the engine has waited for it long enough, it
    /// is cut off. What is written may be on its way to the bucket until then.
    private func removeWorkload(_ name: String, of id: String) async throws(EngineFailure) {
        let now = ContinuousClock.now
        let began = memory.withLock { memory in
            if memory.ends[id] == nil { memory.ends[id] = now }
            return memory.ends[id]!
        }
        do throws(EngineFailure) { try await removeContainer(name) } catch {
            guard error.status != nil, ContinuousClock.now - began >= EndPatience().bucket else { throw error }
            await volumes.cutOffBuckets(of: id)
            try await removeContainer(name)
        }
    }

    private func removeContainer(_ name: String) async throws(EngineFailure) {
        var call = EngineCall("DELETE", "containers", name, query: [("force", "true"), ("v", "true")])
        // 409: another request is removing it.
        call.expected = [404, 409]
        for _ in 0..<200 {
            let answer = try await engine.send(call)
            guard answer.status == 409 else { return }
            try? await Task.sleep(for: .milliseconds(50))
        }
        throw EngineFailure(.refused(409), "container \(name) is being removed, and is still there after 10 s")
    }

    /// - Parameter name: of one that a sandbox of this server has, or had.
    /// - Returns: false if another container has it.
    private func removeVolume(_ name: String) async throws(RuntimeError) -> Bool {
        do throws(EngineFailure) {
            let found: EngineVolume? = try await engine.find(EngineCall("GET", "volumes", name))
            guard let found, found.isUnlabelled || found.labels?[ExactName(SandboxLabels.ownerKey)] == owner else {
                return true
            }
            var call = EngineCall("DELETE", "volumes", name)
            call.expected = [404, 409]
            return try await engine.send(call).status != 409
        } catch { throw RuntimeError(error, "removing volume \(name)") }
    }

    // MARK: what stays behind

    /// Tries again until it is gone, one after the other, ever more slowly.
    private func removeLater(_ id: String) {
        let isFirst = memory.withLock { memory in
            memory.unremoved.insert(id)
            defer { memory.isRemoving = true }
            return !memory.isRemoving
        }
        guard isFirst else { return }
        Task { [weak self] in
            var pause = BackOff(first: 250, longest: 30_000)
            while let self {
                try? await Task.sleep(for: pause.spread())
                for id in self.memory.withLock({ $0.unremoved }) {
                    // A create has it anew. Its own removal takes what was left, too.
                    let isNobodys = self.memory.withLock { memory in
                        memory.unremoved.remove(id)
                        return !memory.making.contains(id)
                    }
                    guard isNobodys, !self.hasBegun(id) else { continue }
                    // What is not gone then enters itself again.
                    await self.giveUp(id)
                }
                let isOver = self.memory.withLock { memory in
                    memory.isRemoving = !memory.unremoved.isEmpty
                    return !memory.isRemoving
                }
                if isOver { return }
            }
        }
    }

    /// Removes what no sandbox is of: an engine that goes away amid a create may have done what it was asked, or does it later.
    func sweep() async {
        let ids: [String]
        do throws(RuntimeError) { ids = try await left() } catch { return }
        for id in ids where isNobodys(id) {
            logger.warning("removing what an interrupted create has left", metadata: ["sandbox": "\(id)"])
            await giveUp(id)
        }
    }

    /// Whether no sandbox of this server has the id, nor comes to have it.
    private func isNobodys(_ id: String) -> Bool {
        memory.withLock { $0.tokens[id] == nil && !$0.making.contains(id) } && !hasBegun(id)
    }

    package func owned() async throws(RuntimeError) -> [String] {
        await forgetImages()
        // A sandbox that only the guard knows, whose removal was interrupted.
        return Set(try await left(withHelpers: true)).union(await namespaceGuard.guarded)
            .filter { LocalEngine.isIdentifier($0) }.sorted()
    }

    /// The ids of all that the engine has of this server's sandboxes.
    /// - Parameter withHelpers: whether containers are removed that an earlier server put files into volumes with.
    private func left(withHelpers: Bool = false) async throws(RuntimeError) -> [String] {
        let owns = EngineCall.filters(["label": ["\(SandboxLabels.ownerKey)=\(owner)"]])
        do throws(EngineFailure) {
            let containers: [ListedContainer] = try await engine.get(
                EngineCall("GET", "containers", "json", query: [("all", "true"), owns]))
            // Ports are kept for a sandbox before the engine hears of it.
            var ids = Set(ports.all.keys)
            for one in containers {
                switch one.labels?[ExactName(DockerNames.partKey)].flatMap(DockerNames.Part.init) {
                case .helper where withHelpers:
                    _ = try? await engine.send(EngineCall("DELETE", "containers", one.id, query: [("force", "true")]))
                case .helper: break
                default: if let id = one.labels?[ExactName(SandboxLabels.idKey)] { ids.insert(id) }
                }
            }
            let list: VolumeList = try await engine.get(EngineCall("GET", "volumes", query: [owns]))
            for volume in list.volumes ?? [] {
                if let id = volume.labels?[ExactName(SandboxLabels.idKey)] { ids.insert(id) }
            }
            return ids.filter { LocalEngine.isIdentifier($0) }.sorted()
        } catch { throw RuntimeError(error, "listing the containers of this server") }
    }
}
