import Synchronization
import System

/// The volume that has execd, which is made once for a server and shown to each of its containers read-only: what a create
/// has to upload is its token alone.
final class ExecdVolume: Sendable {
    private let engine: EngineClient
    private let path: String
    private let owner: String
    private let made = Mutex<Task<Result<Void, RuntimeError>, Never>?>(nil)

    init(_ engine: EngineClient, path: String, owner: String) {
        (self.engine, self.path, self.owner) = (engine, path, owner)
    }

    /// Makes it, once: this server's own execd goes over whatever is in it.
    /// - Parameter image: any, of a container that never runs.
    /// - Throws: `.image` for one whose volumes would take the file.
    /// - Returns: its name.
    func ready(_ image: EngineImage) async throws(RuntimeError) -> String {
        let task = made.withLock { made in
            if let made { return made }
            let task = Task { () -> Result<Void, RuntimeError> in
                do throws(RuntimeError) { return .success(try await self.make(image)) } catch { return .failure(error) }
            }
            made = task
            return task
        }
        do throws(RuntimeError) { try await task.value.get() } catch {
            forget()
            throw error
        }
        return DockerNames.program(owner)
    }

    /// After which it is made anew.
    func forget() { made.withLock { $0 = nil } }

    private func make(_ image: EngineImage) async throws(RuntimeError) {
        let content: [UInt8]
        do throws(SystemCallError) { content = try File.read(path) } catch { throw .missingExecd(path) }
        var files = StagedArchive()
        files.add(file: "execd", mode: 0o755, content)
        let labels = [SandboxLabels.ownerKey: owner]
        var confinement = ContainerConfinement()
        confinement.maxProcesses = 0
        let body = ContainerBody(
            image: image.id, command: [DockerNames.execd], environment: [],
            labels: labels.merging([DockerNames.partKey: DockerNames.Part.helper.rawValue]) { own, _ in own },
            confinement: confinement,
            mounts: [
                .init(
                    source: .volume(
                        DockerNames.program(owner),
                        labels: labels.merging([DockerNames.partKey: DockerNames.Part.program.rawValue]) { own, _ in own
                        }),
                    target: DockerNames.programFolder)
            ], maxLog: 1 << 20)
        let name = DockerNames.helper(Identifier.uuid())
        do throws(EngineFailure) {
            try await engine.send(
                EngineCall("POST", "containers", "create", query: [("name", name)], body: .json(body.json)))
        } catch {
            // It may have been made before the engine went away.
            if error.status == nil { discard(name) }
            throw RuntimeError(error, "making the volume of execd")
        }
        defer { discard(name) }
        // The image may lead the file elsewhere, and leave all sandboxes without.
        let paths = ContainerPaths(engine: engine, container: name)
        try await ForeignMounts(image: image.volumePaths, asked: []).check(mayNest: true) { path throws(RuntimeError) in
            do throws(EngineFailure) { return try await paths.real(path) } catch {
                throw RuntimeError(error, "looking at the volumes of an image")
            }
        }
        do throws(EngineFailure) {
            try await engine.send(
                EngineCall(
                    "PUT", "containers", name, "archive", query: [("path", DockerNames.programFolder)],
                    body: .archive(files.whole)))
        } catch { throw RuntimeError(error, "putting execd into its volume") }
    }

    /// Removes the container that the file went through, which nobody waits for, as soon as the engine can.
    private func discard(_ name: String) {
        var call = EngineCall("DELETE", "containers", name, query: [("force", "true"), ("v", "true")])
        call.expected = [404]
        Task { [engine, call] in
            var pause = BackOff(first: 250, longest: 10_000)
            while (try? await engine.send(call)) == nil { try? await Task.sleep(for: pause.spread()) }
        }
    }
}
