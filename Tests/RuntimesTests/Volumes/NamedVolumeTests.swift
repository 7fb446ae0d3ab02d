import CLinux
import Foundation
import Glibc
import Logging
import System
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
            #expect(volumes.named["mine"] != nil, "another has had it, and may want it again")
            #expect(try volumes.named.remove("mine", take: { try? TreeRemoval.remove($0) }))
            _ = try await volumes.output("named-5", "touch /data/a", [mine])
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

    @Test(arguments: [true, false])
    func `a key's volume is not there for other keys, and is for the server's own`(_ creates: Bool) async throws {
        try await VolumeRuntime.run { volumes async throws in
            let own = try volumes.claim("own", at: "/data", creates: creates, goesWithSandbox: true)
            let making = try volumes.claim("own", at: "/data")
            _ = try await volumes.output("owned-1", "echo a > /data/file", [making], caller: "a")
            #expect(volumes.named["own"]?.owner == "a")
            try await volumes.test.runtime.delete("owned-1")
            await #expect(throws: RuntimeError.self) { try await volumes.test.runtime.admit([own], for: "b") }
            #expect(try await volumes.refusal("owned-2", [own], caller: "b").code == .claimNotFound)
            for (id, caller) in [("owned-3", "a"), ("owned-4", nil)] {
                try await volumes.test.runtime.admit([own], for: caller)
                let log = try await volumes.output(id, "cat /data/file", [own], caller: caller)
                #expect(log.hasPrefix("a\n"))
            }
            // What the server's own key makes is no other key's; what operators make is everybody's.
            let server = try volumes.claim("servers", at: "/data", creates: creates)
            _ = try await volumes.output("owned-5", "true", [try volumes.claim("servers", at: "/data")])
            #expect(try await volumes.refusalBeside("owned-6", server, caller: "b").code == .claimNotFound)
            let record = VolumeRecord(name: "shared", createdAt: 0, bytes: 32 << 20, madeBy: .operator)
            #expect(try volumes.named.create(record, volumes.test.runtime.limits, reserve: 0))
            let shared = try volumes.claim("shared", at: "/data", creates: creates)
            for caller in ["a", "b", nil] { try await volumes.test.runtime.admit([shared], for: caller) }
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

    private func imageWithFile(_ image: String) throws {
        mkdir(image + "/data", 0o755)
        for name in ["file", "other"] {
            try "image\n".write(toFile: image + "/data/" + name, atomically: false, encoding: .utf8)
        }
    }

    private func made(_ name: String, _ volumes: VolumeRuntime) throws -> VolumeFolder {
        let record = VolumeRecord(name: name, createdAt: 0, bytes: 32 << 20, madeBy: .server)
        #expect(try volumes.named.create(record, volumes.test.runtime.limits, reserve: 0))
        let folder = volumes.named.folder(of: name)
        try folder.disk.mount()
        return folder
    }

    @Test func `a half copy of the image's files that a server left is made anew`() async throws {
        try await VolumeRuntime.run(image: imageWithFile) { volumes async throws in
            let folder = try made("cut", volumes)
            mkdir(folder.disk.path + "/seed-1", 0o700)
            try volumes.write("half", to: folder.disk.path + "/seed-1/file")
            let log = try await volumes.output("seed-5", "cat /data/file", [try volumes.claim("cut", at: "/data")])
            #expect(log.hasPrefix("image\n"))
            #expect(ControlGroup.entries(of: folder.disk.path).allSatisfy { !$0.hasPrefix("seed") })
        }
    }

    @Test func `a whole copy that a server left is moved on, and replaces nothing that sandboxes wrote`() async throws {
        try await VolumeRuntime.run(image: imageWithFile) { volumes async throws in
            let folder = try made("moved", volumes)
            mkdir(folder.disk.path + "/seed", 0o755)
            for name in ["file", "other"] { try volumes.write("image\n", to: folder.disk.path + "/seed/" + name) }
            try volumes.write("written\n", to: folder.files + "/file")
            let log = try await volumes.output(
                "seed-6", "cat /data/file /data/other", [try volumes.claim("moved", at: "/data")])
            #expect(log.hasPrefix("written\nimage\n"), "\(log)")
            #expect(access(folder.disk.path + "/seed", F_OK) != 0)
        }
    }

    /// Of earlier servers' marker, too, and whatever else lies beside the files.
    @Test(arguments: ["unseeded", "disk/seed-1/file"])
    func `whatever a server left, files of sandboxes that run on the volume stay`(_ left: String) async throws {
        try await VolumeRuntime.run(image: imageWithFile) { volumes async throws in
            let folder = try made("kept", volumes)
            try Command.run("mkdir", "-p", folder.path + "/" + left)
            let claim = try volumes.claim("kept", at: "/work"), filling = try volumes.claim("kept", at: "/data")
            _ = try await volumes.output("seed-7", "echo mine > /work/mine", [claim])
            let log = try await volumes.output("seed-8", "cat /data/mine; ls /data", [filling])
            #expect(log.hasPrefix("mine\nmine\ndone"), "\(log)")
        }
    }

    @Test func `of a sandbox restored from a snapshot the layers' files come along, as it sees them`() async throws {
        try await VolumeRuntime.run(image: imageWithFile) { volumes async throws in
            let layer = volumes.test.folder + "/layer"
            try Command.run("mkdir", "-p", layer + "/data")
            try volumes.write("layer\n", to: layer + "/data/file")
            try volumes.write("new\n", to: layer + "/data/new")
            var spec = volumes.spec(
                "seed-11", "cat /data/file /data/other /data/new; echo done; exec sleep 1000",
                [try volumes.claim("layered", at: "/data")])
            spec.layers = [layer]
            _ = try await volumes.test.runtime.prepare(spec)
            try await volumes.test.runtime.start("seed-11")
            let isSaid = try await eventually { volumes.test.log("seed-11").hasSuffix("done\n") }
            #expect(isSaid && volumes.test.log("seed-11").hasPrefix("layer\nimage\nnew\n"))
        }
    }

    @Test func `a copy that fails leaves the volume as it was, for those who have it`() async throws {
        try await VolumeRuntime.run { (image: String) in
            mkdir(image + "/data", 0o755)
            try Command.run("dd", "if=/dev/zero", "of=" + image + "/data/large", "bs=1M", "count=64", "status=none")
        } _: { volumes async throws in
            let claim = try volumes.claim("tight", at: "/data", bytes: 16 << 20)
            await #expect(throws: RuntimeError.self) {
                _ = try await volumes.output("seed-9", "true", [claim])
            }
            try await volumes.test.runtime.delete("seed-9")
            let log = try await volumes.output(
                "seed-10", "echo fits > /work/file; cat /work/file",
                [try volumes.claim("tight", at: "/work", creates: false)])
            #expect(log.hasPrefix("fits\n"), "no space is lost: \(log)")
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

    @Test func `one that another process makes at this moment is not taken for a leftover`() async throws {
        try await VolumeRuntime.run { volumes async throws in
            let half = VolumeFolder(path: volumes.named.directory + "/.new-2")
            try Command.run("mkdir", "-p", half.path + "/disk")
            let lock = try half.lock(within: 0).release()
            volumes.named.recover { _ in Issue.record("it was taken") }
            #expect(access(half.disk.path, F_OK) == 0)
            close(lock)
            var taken: [String] = []
            volumes.named.recover { taken.append($0) }
            #expect(taken.count == 1 && access(half.path, F_OK) != 0)
        }
    }

    @Test func `while one is made or filled others are had, and a wait for it ends`() async throws {
        try await VolumeRuntime.run { volumes async throws in
            let limits = volumes.test.runtime.limits
            for name in ["slow", "quick"] {
                let record = VolumeRecord(name: name, createdAt: 0, bytes: 32 << 20, madeBy: .operator)
                #expect(try volumes.named.create(record, limits, reserve: 0))
            }
            let folder = volumes.named.folder(of: "slow")
            let lock = try folder.lock(within: 0).release()
            defer { close(lock) }
            let log = try await volumes.output("wait-1", "echo had", [try volumes.claim("quick", at: "/data")])
            #expect(log.hasPrefix("had"))
            #expect(throws: RuntimeError.self) { _ = try folder.lock(within: 1) }
        }
    }

    @Test func `a disk that a server left mounted, when nobody had it any more, is unmounted by the next`() async throws
    {
        try await VolumeRuntime.run { volumes async throws in
            let folder = try made("left", volumes)
            guard access(folder.disk.image, F_OK) == 0 else { return }
            #expect(linux_is_mount_point(folder.disk.path) == 1)
            volumes.named.recover { _ in }
            #expect(linux_is_mount_point(folder.disk.path) == 0)
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
