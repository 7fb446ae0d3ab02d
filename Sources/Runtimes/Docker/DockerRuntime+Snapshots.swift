import CLinux
import HTTPClient
import JSON
import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Snapshots are images that the engine makes of a container's own files. What the server puts into a container is in
/// volumes, and what a request tells it is told to execd, so that neither is in them.
extension DockerRuntime {
    package func takeSnapshot(_ id: String, of sandbox: String) async throws(RuntimeError) {
        let (id, sandbox) = (try Self.checked(id), try Self.checked(sandbox))
        guard let found = try await container(sandbox) else { throw .notFound(sandbox) }
        guard [.running, .paused].contains(found.state.phase) else {
            throw .wrongState(id: sandbox, state: found.state.status, needed: "running or paused")
        }
        // The engine would go on with it when nobody waits any more.
        let outcome = await Task { await self.commit(found, as: id) }.value
        guard !Task.isCancelled, case .success = outcome else {
            await Task { try? await self.deleteSnapshot(id) }.value
            try outcome.get()
            throw .cancelled
        }
    }

    private func commit(_ found: ContainerFacts, as id: String) async -> Result<Void, RuntimeError> {
        do throws(EngineFailure) {
            let told = try await engine.send(EngineCall("GET", "images", found.image, "json")).body
            guard let image = try? JSONValue(told) else {
                throw EngineFailure(.malformed, "what the engine says of an image cannot be read")
            }
            // An engine that reads the layer might miss what is in memory only.
            let root = "/proc/\(found.state.process)/root"
            await threads.run {
                guard let root = try? FileDescriptor(opening: root, O_RDONLY | O_DIRECTORY) else { return }
                _ = linux_synchronize_file_system(root.number)
            }
            let labels = (found.configuration.labels ?? [:]).keys.map(\.text)
            try await engine.send(
                EngineCall(
                    "POST", "commit",
                    query: [
                        ("container", found.id), ("repo", DockerNames.snapshots), ("tag", id), ("pause", "true"),
                    ], body: .json(CommittedImage(of: image, labels: labels, owner: owner).json)))
            return .success(())
        } catch { return .failure(RuntimeError(error, "taking a snapshot")) }
    }

    package func deleteSnapshot(_ id: String) async throws(RuntimeError) {
        let id = try Self.checked(id)
        do throws(EngineFailure) {
            guard try await ownSnapshot(id) != nil else { return }
            var call = EngineCall("DELETE", "images", DockerNames.snapshot(id), query: [("force", "true")])
            call.expected = [404]
            try await engine.send(call)
        } catch { throw RuntimeError(error, "deleting snapshot \(id)") }
    }

    package func snapshots() async throws(RuntimeError) -> [String] {
        let filters = EngineCall.filters([
            "reference": [DockerNames.snapshots], "label": ["\(DockerNames.snapshotOwnerKey)=\(owner)"],
        ])
        do throws(EngineFailure) {
            let found: [ListedImage] = try await engine.get(EngineCall("GET", "images", "json", query: [filters]))
            let prefix = DockerNames.snapshots + ":"
            return found.flatMap { $0.tags ?? [] }.filter { $0.hasPrefix(prefix) }
                .map { String($0.dropFirst(prefix.utf8.count)) }.filter(LocalEngine.isIdentifier).sorted()
        } catch { throw RuntimeError(error, "listing snapshots") }
    }

    func snapshotImage(_ id: String) async throws(RuntimeError) -> EngineImage {
        let id = try Self.checked(id)
        do throws(EngineFailure) {
            if let found = try await ownSnapshot(id) { return found }
        } catch { throw RuntimeError(error, "looking for snapshot \(id)") }
        throw .unusableSnapshot(id: id, reason: "the engine has no image of it")
    }

    private func ownSnapshot(_ id: String) async throws(EngineFailure) -> EngineImage? {
        let found = try await images.find(DockerNames.snapshot(id))
        return found?.configuration?.labels?[ExactName(DockerNames.snapshotOwnerKey)] == owner ? found : nil
    }

    // MARK: images of snapshots that are gone

    private var imagesFolder: String { configuration.stateDirectory + "/leaving-images" }
    private func imageFile(_ sandbox: String) -> String { imagesFolder + "/" + sandbox }

    /// Writes down what a sandbox of a snapshot stands on. Only its container says so, and that goes first: a deletion that is cut
    /// short behind it would leave the image.
    func noteImage(_ found: ContainerFacts, of sandbox: String) {
        guard found[label: DockerNames.snapshotKey]?.isEmpty == false else { return }
        // On a full disk the deletion goes on: an image without a name may stay then.
        try? File.makeFolder(imagesFolder, mode: 0o700)
        try? File.write(Array(found.image.utf8), to: imageFile(sandbox), mode: 0o600)
    }

    /// The image of a snapshot that was deleted while its sandboxes ran goes with the last of them.
    func forgetImage(of sandbox: String) async {
        guard let image = File.text(imageFile(sandbox), limit: 4096) else { return }
        do throws(EngineFailure) {
            if !image.isEmpty, let found = try await images.find(image), found.tags?.isEmpty != false,
                found.configuration?.labels?[ExactName(DockerNames.snapshotOwnerKey)] == owner
            {
                var call = EngineCall("DELETE", "images", image)
                // 409: another container has it, with which it goes.
                call.expected = [404, 409]
                try await engine.send(call)
            }
        } catch { return }
        unlink(imageFile(sandbox))
    }

    /// Of deletions that an earlier server began.
    func forgetImages() async {
        for sandbox in File.names(in: imagesFolder) ?? [] where LocalEngine.isIdentifier(sandbox) {
            await forgetImage(of: sandbox)
        }
    }
}
