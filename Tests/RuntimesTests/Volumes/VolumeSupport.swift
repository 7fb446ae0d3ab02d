import Foundation
import Glibc
import Logging
import System
import TestSupport
import Testing

@testable import Runtimes

/// A runtime that may give sandboxes one folder of this machine, and has named volumes.
struct VolumeRuntime {
    let test: TestRuntime
    let shared: String

    /// - Parameter image: changes the image before any sandbox is made of it.
    static func run(
        image: (String) throws -> Void = { _ in }, adjust: (inout LocalConfiguration, String) -> Void = { _, _ in },
        patience: EndPatience = EndPatience(), _ body: (VolumeRuntime) async throws -> Void
    ) async throws {
        let test = try TestRuntime(patience: patience) { configuration, folder in
            configuration.storage.allowedHostPaths = [HostPath(configured: folder + "/shared")!]
            adjust(&configuration, folder)
        }
        let runtime = VolumeRuntime(test: test, shared: test.folder + "/shared")
        mkdir(runtime.shared, 0o755)
        try image(test.image)
        do { try await body(runtime) } catch {
            await runtime.clear()
            throw error
        }
        await runtime.clear()
    }

    private func clear() async {
        for id in await test.runtime.list() { try? await test.runtime.delete(id) }
        for volume in named.all { _ = try? named.remove(volume.name, take: { try? TreeRemoval.remove($0) }) }
    }

    var named: NamedVolumes { test.runtime.volumes.named }

    func host(_ path: String, at mountPath: String, readOnly: Bool = false, part: String = "") throws -> SandboxVolume {
        try volume(.host(try HostPath(path, of: "h")), mountPath, readOnly, part)
    }

    func claim(
        _ name: String, at mountPath: String, readOnly: Bool = false, part: String = "", creates: Bool = true,
        goesWithSandbox: Bool = false, bytes: Int64 = 32 << 20
    ) throws -> SandboxVolume {
        let claim = NamedVolumeClaim(
            claim: name, createsIfMissing: creates, goesWithSandbox: goesWithSandbox, bytes: bytes)
        return try volume(.named(claim), mountPath, readOnly, part)
    }

    private func volume(
        _ source: SandboxVolume.Source, _ path: String, _ isReadOnly: Bool, _ part: String
    ) throws -> SandboxVolume {
        SandboxVolume(
            name: "v", mountPath: try MountPath(path, of: "v"), isReadOnly: isReadOnly,
            subPath: try SubPath(part, of: "v"), source: source)
    }

    func spec(_ id: String, _ script: String, _ volumes: [SandboxVolume], caller: String? = nil) -> EngineSpec {
        var spec = test.spec(id, script)
        spec.caller = caller
        spec.volumes = volumes
        return spec
    }

    /// Runs a script in a sandbox that stays.
    /// - Returns: what it prints.
    func output(
        _ id: String, _ script: String, _ volumes: [SandboxVolume], caller: String? = nil
    ) async throws -> String {
        _ = try await test.runtime.prepare(spec(id, script + "\necho done; exec sleep 1000", volumes, caller: caller))
        try await test.runtime.start(id)
        let ended = try await eventually { test.log(id).hasSuffix("done\n") }
        #expect(ended, "\(test.log(id))")
        return test.log(id)
    }

    /// The problem for which a sandbox is not made. Nothing of the sandbox is left then.
    func refusal(
        _ id: String, _ volumes: [SandboxVolume], caller: String? = nil
    ) async throws -> VolumeProblem {
        do {
            _ = try await test.runtime.prepare(spec(id, "exec sleep 1000", volumes, caller: caller))
            try await test.runtime.start(id)
        } catch RuntimeError.volume(let problem) {
            try await test.runtime.delete(id)
            #expect(test.traces.isEmpty, "\(test.traces)")
            return problem
        }
        throw Unrefused()
    }

    struct Unrefused: Error {}

    func write(_ text: String, to path: String) throws {
        try text.write(toFile: path, atomically: false, encoding: .utf8)
    }
}

func owner(of path: String) -> uid_t? {
    var status = stat()
    return lstat(path, &status) == 0 ? status.st_uid : nil
}
