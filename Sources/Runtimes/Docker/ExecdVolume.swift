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
    /// - Returns: its name.
    func ready(image: String) async throws(RuntimeError) -> String {
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

    private func make(_ image: String) async throws(RuntimeError) {
        let content: [UInt8]
        do throws(SystemCallError) { content = try File.read(path) } catch { throw .missingExecd(path) }
        var files = StagedArchive()
        files.add(file: "execd", mode: 0o755, content)
        let labels = [SandboxLabels.ownerKey: owner]
        var confinement = ContainerConfinement()
        confinement.maxProcesses = 0
        let body = ContainerBody(
            image: image, command: [DockerNames.execd], environment: [],
            labels: labels.merging([DockerNames.partKey: DockerNames.Part.helper.rawValue]) { own, _ in own },
            confinement: confinement,
            mounts: [
                .init(source: .volume(DockerNames.program(owner), labels: labels), target: DockerNames.programFolder)
            ], maxLog: 1 << 20)
        let name = DockerNames.helper(Identifier.uuid())
        do throws(EngineFailure) {
            try await engine.send(
                EngineCall("POST", "containers", "create", query: [("name", name)], body: .json(body.json)))
        } catch { throw RuntimeError(error, "making the volume of execd") }
        let outcome: EngineFailure?
        do throws(EngineFailure) {
            try await engine.send(
                EngineCall(
                    "PUT", "containers", name, "archive", query: [("path", DockerNames.programFolder)],
                    body: .archive(files.whole)))
            outcome = nil
        } catch { outcome = error }
        // What stays is taken away with the next start.
        _ = try? await engine.send(
            EngineCall("DELETE", "containers", name, query: [("force", "true"), ("v", "true")]))
        if let outcome { throw RuntimeError(outcome, "putting execd into its volume") }
    }
}
