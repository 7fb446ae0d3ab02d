import Foundation
import Glibc
import Logging
import TestSupport
import Testing

@testable import Runtimes

/// Volumes and images whose authors mean harm, and ends at any moment.
@Suite(.serialized) struct HostileVolumeTests {
    @Test(arguments: ["/etc", "../../../../tmp", "opt", "data"])
    func `an image that has a link where a volume is to be is refused`(_ target: String) async throws {
        try await VolumeRuntime.run { (image: String) in
            symlink(target, image + "/data")
            symlink(target, image + "/srv")
        } _: { volumes async throws in
            for path in ["/data", "/srv/deep/er"] {
                let problem = try await volumes.refusal("link-1", [try volumes.claim("kept", at: path)])
                #expect(problem.code == .invalidMountPath && problem.description.contains("symbolic link"))
            }
        }
    }

    @Test func `an image that has a file where a volume is to be is refused`() async throws {
        try await VolumeRuntime.run { (image: String) in
            try "x".write(toFile: image + "/data", atomically: false, encoding: .utf8)
            mkdir(image + "/folder", 0o755)
        } _: { volumes async throws in
            try volumes.write("x", to: volumes.shared + "/file")
            for volume in [
                try volumes.claim("a", at: "/data"), try volumes.claim("a", at: "/data/x"),
                try volumes.host(volumes.shared + "/file", at: "/folder"),
            ] {
                #expect(try await volumes.refusal("file-1", [volume]).code == .invalidMountPath)
            }
        }
    }

    @Test func `volumes inside each other are mounted on folders of the outer one, never through its links`()
        async throws
    {
        try await VolumeRuntime.run { volumes async throws in
            let outer = try volumes.host(volumes.shared, at: "/data")
            let log = try await volumes.output(
                "nested-1", "touch /data/in/ner/a /data/b; ls /data /data/in/ner; grep -c /data /proc/self/mountinfo",
                [try volumes.claim("inner", at: "/data/in/ner"), outer])
            #expect(log.contains("b\nin\n") && log.contains("a\n") && log.contains("\n2\n"), "\(log)")
            #expect(access(volumes.shared + "/in/ner", F_OK) == 0 && access(volumes.shared + "/in/ner/a", F_OK) != 0)
            try await volumes.test.runtime.delete("nested-1")
            rmdir(volumes.shared + "/in/ner")
            symlink("/opt/opensandbox", volumes.shared + "/in/ner")
            let inner = try volumes.claim("inner", at: "/data/in/ner")
            #expect(try await volumes.refusal("nested-2", [outer, inner]).code == .invalidMountPath)
            let closed = try volumes.host(volumes.shared, at: "/data", readOnly: true)
            let missing = try volumes.claim("inner", at: "/data/none")
            #expect(try await volumes.refusal("nested-3", [closed, missing]).code == .invalidMountPath)
        }
    }

    @Test func `set-id programs, devices and links of a volume reach neither the machine nor another sandbox`()
        async throws
    {
        try await VolumeRuntime.run { volumes async throws in
            let shared = volumes.shared
            try Command.run("cp", "/bin/busybox", shared + "/setuid")
            chmod(shared + "/setuid", 0o4755)
            try Command.run("mknod", "-m", "666", shared + "/device", "c", "1", "5")
            symlink("/etc/hostname", shared + "/link")
            let script = """
                /data/setuid id -u; cat < /data/device; cat /data/link; busybox mknod /data/made c 1 5 && echo made
                busybox ln -s /etc /data/out; busybox su -c id 2>&1 | grep -v '^uid=0' | busybox head -1
                """
            let log = try await volumes.output("hostile-1", script, [try volumes.host(shared, at: "/data")])
            #expect(log.contains("/data/device: Permission denied"), "\(log)")
            #expect(log.contains("sandbox-") && !log.contains("made\n"), "its own host name, and no device: \(log)")
            // A second sandbox, and a third with a part of it that the first has made a link.
            let other = try await volumes.output(
                "hostile-2", "ls /data/out | grep -c hosts", [try volumes.host(shared, at: "/data")])
            #expect(other.hasPrefix("1"))
            #expect(
                try await volumes.refusalBeside("hostile-3", try volumes.host(shared, at: "/data", part: "out")).code
                    == .invalidSubPath)
        }
    }

    @Test(arguments: ["prepared", "made", "running", "restarted"])
    func `whenever a sandbox ends, the files of its volumes stay`(_ moment: String) async throws {
        try await VolumeRuntime.run { volumes async throws in
            let (shared, runtime) = (volumes.shared, volumes.test.runtime)
            try volumes.write("host", to: shared + "/file")
            let mounts = [try volumes.host(shared, at: "/data"), try volumes.claim("kept", at: "/data/kept")]
            _ = try await runtime.prepare(
                volumes.spec("end-1", "touch /data/kept/file; echo done; exec sleep 1000", mounts))
            if moment != "prepared" { try await runtime.start("end-1") }
            if moment == "running" {
                let isWritten = try await eventually { volumes.test.log("end-1").contains("done") }
                #expect(isWritten)
            }
            // Mounts that a server of another kind, or a mistake, has left in the sandbox's folder.
            let folder = volumes.test.sandbox("end-1")
            let left = folder.file("volumes/left")
            try Command.run("mkdir", "-p", left)
            try Command.run("mount", "--bind", shared, left)
            if moment == "restarted" {
                let later = try LocalEngine(configuration: volumes.test.configuration, logger: Logger(label: "test"))
                try await later.delete("end-1")
            } else {
                try await runtime.delete("end-1")
            }
            let isGone = try await eventually { volumes.test.traces.isEmpty }
            #expect(isGone, "\(volumes.test.traces)")
            #expect(contents(of: shared + "/file") == "host" && access(shared, F_OK) == 0)
            if moment == "running" {
                let log = try await volumes.output("end-2", "ls /data", [try volumes.claim("kept", at: "/data")])
                #expect(log.hasPrefix("file\n"))
            }
        }
    }

    @Test func `pausing and resuming keeps volumes`() async throws {
        try await VolumeRuntime.run { volumes async throws in
            _ = try await volumes.output(
                "paused-1", "while true; do echo tick >> /data/file; sleep 0.01; done &",
                [try volumes.claim("p", at: "/data")])
            try await volumes.test.runtime.pause("paused-1")
            try await volumes.test.runtime.resume("paused-1")
            let file = volumes.named.folder(of: "p").files + "/file"
            let before = contents(of: file)?.count ?? 0
            let goesOn = try await eventually { (contents(of: file)?.count ?? 0) > before }
            #expect(goesOn)
        }
    }
}

extension VolumeRuntime {
    /// As `refusal`, while other sandboxes are there.
    func refusalBeside(
        _ id: String, _ volume: SandboxVolume, caller: String? = nil
    ) async throws -> VolumeProblem {
        do { try await test.runtime.admit([volume], for: caller) } catch RuntimeError.volume(let problem) {
            return problem
        }
        throw Unrefused()
    }
}
