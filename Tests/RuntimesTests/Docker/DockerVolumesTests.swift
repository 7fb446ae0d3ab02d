import Foundation
import Glibc
import NetworkPolicy
import System
import TestSupport
import Testing

@testable import Runtimes

/// The bucket is mounted by a program that stands in for that of the storage's vendor.
@Suite(.serialized) struct DockerVolumesTests {
    private let folder = TemporaryFolder("docker-volumes")
    private let engine: HookServer
    private let id = "0b5cf4f0-7d56-4a8c-9d41-0a8e8e2f1c11"

    init() throws {
        engine = try HookServer { request in
            request.hasPrefix("GET /volumes/far ")
                ? (status: 200, body: #"{"Name":"far","Driver":"nfs","Labels":null,"Mountpoint":""}"#)
                : (status: 200, body: "{}")
        }
        mkdir(folder.path + "/bin", 0o755)
        let program = folder.path + "/bin/ossfs2"
        try Script.write("#!/bin/sh\nmount -t tmpfs none \"$2\" && touch \"$2/in-the-bucket\"\n", to: program)
    }

    private func volumes() throws -> DockerVolumes {
        var configuration = DockerConfiguration(
            execdPath: "/bin/true", stateDirectory: folder.path + "/state", namespaceDirectory: folder.path + "/netns")
        configuration.storage.bucketEndpoints = try #require(BucketEndpoints(["oss.example"]))
        configuration.storage.bucketRoot = folder.path + "/buckets"
        configuration.storage.keysFolder = folder.path
        configuration.storage.programFolders = [folder.path + "/bin", "/usr/bin", "/bin"]
        let client = EngineClient(try EngineAddress("tcp://127.0.0.1:\(engine.port)"), patience: 10)
        return DockerVolumes(client, configuration, owner: "me")
    }

    private func bucket(
        _ endpoint: String = "oss.example", _ version: BucketClaim.Version = .two
    ) throws -> SandboxVolume {
        SandboxVolume(
            name: "v", mountPath: try MountPath("/v", of: "v"), isReadOnly: true,
            source: .bucket(BucketClaim(bucket: "abc", endpoint: endpoint, version: version)))
    }

    /// - Returns: the place that the engine is told.
    private func opened(_ volumes: DockerVolumes) async throws -> String {
        let spec = SandboxSpec(
            id: id, source: .image("tool:1"), entrypoint: ["sleep"], policy: .allowAll,
            labels: SandboxLabels(owner: "me", id: id), volumes: [try bucket()],
            bucketKeys: ["v": BucketKeys(id: "the-id", secret: "tops3cret")])
        let mount = try #require(try await volumes.open(spec).first)
        #expect(mount.target == "/v" && mount.isReadOnly)
        guard case .folder(let place) = mount.source else { throw SystemCallError(code: EINVAL) }
        return place
    }

    private func isShown(_ place: String) -> Bool { access(place + "/in-the-bucket", F_OK) == 0 }
    private var isNothingMounted: Bool { contents(of: "/proc/self/mountinfo")?.contains(folder.path) == false }

    @Test func `a bucket is bound to a place of the server's, and goes with its sandbox`() async throws {
        let volumes = try volumes(), place = try await opened(volumes)
        #expect(place.hasPrefix(folder.path + "/netns-volumes/") && isShown(place))
        try await volumes.end("another")
        #expect(isShown(place))
        try await volumes.end(id)
        #expect(isNothingMounted && File.names(in: folder.path + "/netns-volumes") == [])
        engine.stop()
    }

    @Test func `the next server leaves sandboxes theirs, and takes away what is nobody's`() async throws {
        let place = try await opened(try volumes())
        try volumes().recover(sandboxes: [id])
        #expect(isShown(place))
        try volumes().recover(sandboxes: [])
        #expect(isNothingMounted && File.names(in: folder.path + "/netns-volumes") == [])
        engine.stop()
    }

    @Test func `a part of a volume whose files only its driver reaches is refused with the contract's code`()
        async throws
    {
        let volumes = try volumes(), claim = NamedVolumeClaim(claim: "far")
        func asked(_ part: String?) throws -> SandboxVolume {
            SandboxVolume(
                name: "v", mountPath: try MountPath("/v", of: "v"),
                subPath: try part.flatMap { try SubPath($0, of: "v") }, source: .named(claim))
        }
        try await volumes.check([try asked(nil)], for: nil)
        await #expect {
            try await volumes.check([try asked("part")], for: nil)
        } throws: {
            guard case .volume(let problem) = $0 as? RuntimeError else { return false }
            return problem.code.rawValue == "VOLUME::PVC_SUBPATH_UNSUPPORTED_DRIVER" && "\(problem)".contains("nfs")
        }
        engine.stop()
    }

    @Test func `a bucket elsewhere, or without its program, is refused before anything is made`() async throws {
        let volumes = try volumes()
        for (asked, code) in [
            (try bucket("other.example"), VolumeProblem.Code.invalidEndpoint),
            (try bucket("oss.example", .one), .bucketMountFailed),
        ] {
            await #expect {
                try await volumes.check([asked], for: nil)
            } throws: {
                guard case .volume(let problem) = $0 as? RuntimeError else { return false }
                return problem.code == code
            }
        }
        try await volumes.check([try bucket()], for: nil)
        #expect(File.names(in: folder.path + "/buckets") == nil)
        engine.stop()
    }
}
