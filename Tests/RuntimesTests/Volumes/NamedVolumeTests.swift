import Foundation
import Glibc
import Logging
import TestSupport
import Testing

@testable import Runtimes

/// Named volumes in real sandboxes.
@Suite(.serialized) struct NamedVolumeTests {
    @Test func `files outlive sandboxes and servers, and several sandboxes share them`() async throws {
        try await VolumeRuntime.run { volumes async throws in
            let log = try await volumes.output(
                "named-1", "echo one > /data/file; ls -ln /data; grep ' /data ' /proc/self/mountinfo",
                [try volumes.claim("shared", at: "/data")])
            #expect(log.contains("nosuid,nodev") && log.contains(" 0        0 "), "\(log)")
            #expect(volumes.named["shared"]?.bytes == 32 << 20 && volumes.named["shared"]?.madeBy == .server)
            let other = try await volumes.output(
                "named-2", "cat /a/file; echo two >> /a/file; echo three > /b/file; cat /b/file",
                [volumes.claim("shared", at: "/a"), volumes.claim("shared", at: "/b", readOnly: true)])
            #expect(other.contains("one\n") && other.contains("Read-only file system") && other.contains("one\ntwo\n"))
            // Another server finds it with the sandboxes that have it.
            let later = try LocalEngine(configuration: volumes.test.configuration, logger: Logger(label: "test"))
            #expect(later.volumes.named.users(of: "shared") == ["named-1", "named-2"])
            #expect(throws: RuntimeError.volumeInUse("shared", by: "named-1")) {
                try later.volumes.named.remove("shared", take: { _ in })
            }
            for id in ["named-1", "named-2"] { try await later.delete(id) }
            let isReleased = try await eventually { volumes.test.traces.isEmpty }
            #expect(isReleased, "its disk is not mounted while nobody has it: \(volumes.test.traces)")
            let third = try await volumes.output(
                "named-3", "cat /data/file", [try volumes.claim("shared", at: "/data", creates: false)])
            #expect(third.contains("one\ntwo\n"))
        }
    }

    @Test func `a volume that is not there is made only where that is asked for`() async throws {
        try await VolumeRuntime.run { volumes async throws in
            let missing = try volumes.claim("missing", at: "/data", creates: false)
            await #expect(throws: RuntimeError.self) { try await volumes.test.runtime.admit([missing]) }
            #expect(try await volumes.refusal("named-4", [missing]).code == .claimNotFound)
            #expect(volumes.named.all.isEmpty)
        }
    }

    @Test func `it goes with the sandbox that made it, unless another has it, and never with one that did not make it`()
        async throws
    {
        try await VolumeRuntime.run { volumes async throws in
            let mine = try volumes.claim("mine", at: "/data", goesWithSandbox: true)
            _ = try await volumes.output("named-5", "touch /data/a", [mine])
            _ = try await volumes.output("named-6", "ls /data", [mine])
            try await volumes.test.runtime.delete("named-6")
            #expect(volumes.named["mine"] != nil, "it did not make it")
            try await volumes.test.runtime.delete("named-5")
            #expect(volumes.named["mine"] == nil && volumes.named.all.isEmpty)
            // Kept where another has it at that moment.
            _ = try await volumes.output("named-7", "touch /data/a", [mine])
            _ = try await volumes.output("named-8", "ls /data", [mine])
            try await volumes.test.runtime.delete("named-7")
            try await volumes.test.runtime.delete("named-8")
            #expect(volumes.named["mine"] != nil)
            // And a create that fails takes it along.
            let failing = [
                try volumes.claim("early", at: "/data", goesWithSandbox: true),
                try volumes.claim("missing", at: "/other", creates: false),
            ]
            #expect(try await volumes.refusal("named-9", failing).code == .claimNotFound)
            #expect(volumes.named["early"] == nil)
        }
    }

    @Test func `it holds no more than its size`() async throws {
        try await VolumeRuntime.run { volumes async throws in
            let log = try await volumes.output(
                "named-10", "while cat /bin/busybox; do :; done > /data/file; echo full; ls -l /data",
                [try volumes.claim("small", at: "/data", bytes: 16 << 20)])
            #expect(log.contains("No space left") || log.contains("quota"), "\(log)")
        }
    }

    @Test func `an empty one begins with the image's files, with their owners and modes, and is filled only once`()
        async throws
    {
        func fill(_ image: String) throws {
            try Command.run("mkdir", "-p", image + "/srv/data/deep")
            for (name, text) in [("/srv/data/file", "of the image\n"), ("/srv/data/deep/inner", "x")] {
                try text.write(toFile: image + name, atomically: false, encoding: .utf8)
            }
            symlink("/etc/shadow", image + "/srv/data/link")
            chmod(image + "/srv/data", 0o750)
            chown(image + "/srv/data", 33, 44)
            chown(image + "/srv/data/file", 33, 44)
        }
        try await VolumeRuntime.run(image: fill) { volumes async throws in
            let empty = try await volumes.output(
                "seed-1", "ls -A /srv/data; echo none", [try volumes.claim("seeded", at: "/srv/data", readOnly: true)])
            #expect(empty.hasPrefix("none"), "a read-only one is not filled: \(empty)")
            try await volumes.test.runtime.delete("seed-1")
            let script =
                "ls -lnd /srv/data /srv/data/file /srv/data/link /srv/data/deep/inner; busybox rm /srv/data/file"
            let log = try await volumes.output("seed-2", script, [try volumes.claim("seeded", at: "/srv/data")])
            #expect(log.contains("drwxr-x---") && log.components(separatedBy: " 33       44 ").count == 3, "\(log)")
            #expect(log.contains("link -> /etc/shadow") && log.contains("deep/inner"), "\(log)")
            let again = try await volumes.output(
                "seed-3", "ls /srv/data", [try volumes.claim("seeded", at: "/srv/data")])
            #expect(!again.contains("file") && again.contains("deep"))
            // A part of a volume is not filled.
            let part = try await volumes.output(
                "seed-4", "ls /srv/data; echo none", [try volumes.claim("other", at: "/srv/data", part: "a")])
            #expect(part.hasPrefix("none"))
        }
    }

    @Test func `what a server left half-filled is filled anew`() async throws {
        func fill(_ image: String) throws {
            mkdir(image + "/data", 0o755)
            try "whole\n".write(toFile: image + "/data/file", atomically: false, encoding: .utf8)
        }
        try await VolumeRuntime.run(image: fill) { volumes async throws in
            let record = VolumeRecord(name: "cut", createdAt: 0, bytes: 32 << 20, madeBy: .server)
            #expect(try volumes.named.create(record, volumes.test.runtime.limits, reserve: 0))
            let folder = volumes.named.folder(of: "cut")
            try volumes.write("half", to: folder.files + "/file")
            try volumes.write("", to: folder.unseeded)
            let log = try await volumes.output("seed-5", "cat /data/file", [try volumes.claim("cut", at: "/data")])
            #expect(log.hasPrefix("whole\n") && access(folder.unseeded, F_OK) != 0)
        }
    }

    @Test func `after a restart of the machine its disk is mounted again, and through one device only`() async throws {
        try await VolumeRuntime.run { volumes async throws in
            _ = try await volumes.output("again-1", "echo kept > /data/file", [try volumes.claim("again", at: "/data")])
            let folder = volumes.named.folder(of: "again")
            guard access(folder.disk.image, F_OK) == 0 else { return }
            // As in another mount namespace: the sandbox has it, and the server does not see it.
            folder.unmount()
            let log = try await volumes.output("again-2", "cat /data/file", [try volumes.claim("again", at: "/data")])
            #expect(log.hasPrefix("kept"))
            let devices = ControlGroup.entries(of: "/sys/block").filter {
                contents(of: "/sys/block/\($0)/loop/backing_file")?.contains(folder.path) ?? false
            }
            #expect(devices.count == 1, "two devices for one file destroy each other's files")
        }
    }

    @Test func `what a server did not finish is removed by the next`() async throws {
        try await VolumeRuntime.run { volumes async throws in
            let half = volumes.named.directory + "/.new-1"
            try Command.run("mkdir", "-p", half + "/disk")
            _ = try LocalEngine(configuration: volumes.test.configuration, logger: Logger(label: "test"))
            let isGone = try await eventually {
                ControlGroup.entries(of: volumes.named.directory + "/.removed").isEmpty
            }
            #expect(isGone && access(half, F_OK) != 0)
        }
    }

    @Test func `a volume begins with an operator's files, and names that are taken are left alone`() async throws {
        try await VolumeRuntime.run { volumes async throws in
            try volumes.write("seed\n", to: volumes.shared + "/file")
            var record = VolumeRecord(name: "made", createdAt: 5, bytes: 32 << 20, madeBy: .operator)
            let limits = volumes.test.runtime.limits
            #expect(try volumes.named.create(record, limits, from: volumes.shared, reserve: 0))
            record.createdAt = 7
            #expect(try !volumes.named.create(record, limits, reserve: 0))
            #expect(volumes.named.all.map(\.createdAt) == [5])
            let log = try await volumes.output(
                "made-1", "cat /data/file", [try volumes.claim("made", at: "/data", goesWithSandbox: true)])
            #expect(log.hasPrefix("seed"))
            try await volumes.test.runtime.delete("made-1")
            #expect(volumes.named["made"] != nil, "what an operator made goes with no sandbox")
        }
    }
}
