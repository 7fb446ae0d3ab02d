import Foundation
import Glibc
import Logging
import NetworkPolicy
import TestSupport
import Testing

@testable import Runtimes

@Suite struct IdentifierLeasesTests {
    private let folder = TemporaryFolder("leases")
    private let settings = UserNamespaceSettings(firstID: 1_000_000, idCount: 3 << 16)!

    private func leases(_ foreign: ForeignIdentifiers = .init(accounts: [], subordinate: [])) -> IdentifierLeases {
        IdentifierLeases(settings, foreign: foreign, folder: folder.path + "/leases")
    }

    /// The folder of a sandbox.
    private func owner(_ name: String) -> String {
        mkdir(folder.path + "/" + name, 0o700)
        return folder.path + "/" + name
    }

    @Test func `servers that know nothing of each other give out no id twice, and say when none is left`() throws {
        let servers = [leases(), leases()]
        let given = try (0..<3).map { try servers[$0 % 2].lease(for: owner("s\($0)"), near: 7) }
        for (index, range) in given.enumerated() {
            #expect(range.all.count == 65536 && range.all.lowerBound >= 1_000_000)
            #expect(!given[..<index].contains { $0.all.overlaps(range.all) })
        }
        #expect(throws: RuntimeError.noIdentifiersLeft("1000000 to 1196607")) {
            try servers[0].lease(for: owner("s3"), near: 7)
        }
        // Only whose they are may give them back.
        servers[0].release(given[0], of: owner("s1"))
        #expect(throws: RuntimeError.self) { try servers[1].lease(for: owner("s3"), near: 7) }
        servers[1].release(given[0], of: owner("s0"))
        #expect(try servers[1].lease(for: owner("s3"), near: 7) == given[0])
    }

    @Test func `ids of a sandbox that is gone are free, those of one that is there are not`() throws {
        let first = try leases().lease(for: owner("gone"), near: 0)
        rmdir(folder.path + "/gone")
        #expect(try leases().lease(for: owner("next"), near: 0) == first)
        try leases().occupy(first, for: owner("late"))
        #expect(try leases().lease(for: owner("other"), near: 0) != first)
    }

    @Test func `the folder goes when no sandbox is there, and comes back with the next`() throws {
        let first = try leases().lease(for: owner("one"), near: 0)
        leases().removeIfUnused()
        #expect(try leases().lease(for: owner("two"), near: 0) != first)
        for name in ["one", "two"] { rmdir(folder.path + "/" + name) }
        leases().removeIfUnused()
        #expect(access(folder.path + "/leases", F_OK) != 0)
        #expect(try leases().lease(for: owner("three"), near: 0) == first)
    }

    @Test func `after a restart of the machine those of sandboxes that are found stay theirs`() throws {
        let range = IdentifierRange(first: 1_000_000)!
        try leases().occupy(range, for: owner("found"))
        #expect(try leases().lease(for: owner("new"), near: 0) != range)
    }

    @Test func `ids that others have or may give out are left to them`() throws {
        let foreign = ForeignIdentifiers(
            accounts: ["root:x:0:0::/:/bin/sh\nann:x:1065536:100::/:\nbroken\n"],
            subordinate: ["ann:1100000:65536\nsallyport:1000000:196608\nmax:4294967295:4294967295\nnone:5:0\nx:-1:y\n"])
        #expect(foreign.ranges == [0...0, 1_065_536...1_065_536, 1_100_000...1_165_535, .max ... .max])
        #expect(try leases(foreign).lease(for: owner("one"), near: 1).first == 1_000_000)
        #expect(throws: RuntimeError.self) { try leases(foreign).lease(for: owner("two"), near: 1) }
    }

    @Test(arguments: [(0, 65536), (1, 65535), (UInt32.max - 65536, 65536), (2, UInt32.max)] as [(UInt32, UInt32)])
    func `a range without room for a sandbox, or with root in it, is no setting`(
        first: UInt32, count: UInt32
    ) {
        #expect(UserNamespaceSettings(firstID: first, idCount: count) == nil)
    }

    @Test(
        arguments: [
            ("users, and what useradd(8) gives them", 1, 600_099_999), ("systemd's containers", 0x8_0000, 0x6fff_ffff),
            ("sssd's directories", 200_000, 2_000_199_999), ("systemd's foreign ids", 0x7ffe_0000, 0x7ffe_ffff),
            ("what signed programs take for negative", 0x8000_0000, .max),
        ] as [(String, UInt32, UInt32)])
    func `the default ids are nobody else's`(whose: String, first: UInt32, last: UInt32) throws {
        let settings = UserNamespaceSettings.default
        for number in [0, settings.rangeCount - 1] {
            let range = try #require(settings.range(number))
            #expect(!range.all.overlaps(first...last), "\(whose)")
        }
    }

    @Test func `what a sandbox has of an earlier default stays its own`() throws {
        let old = try #require(IdentifierRange(first: 0x7000_0000))
        let leases = leases()
        try leases.occupy(old, for: owner("old"))
        #expect(try leases.lease(for: owner("new"), near: 0) != old)
        leases.release(old, of: owner("new"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: leases.folder).contains("\(old.first)"))
        leases.release(old, of: owner("old"))
        #expect(try !FileManager.default.contentsOfDirectory(atPath: leases.folder).contains("\(old.first)"))
    }

    @Test func `the last of all ids make a range, and a record that states what is none is refused`() throws {
        let settings = try #require(UserNamespaceSettings(firstID: .max - 65537, idCount: 65536))
        #expect(settings.range(0)?.all.upperBound == UInt32.max - 2)
        #expect(IdentifierRange(first: .max - 65534) == nil && IdentifierRange(first: 0) == nil)
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(IdentifierRange.self, from: Data(#"{"first":4294967295}"#.utf8))
        }
    }
}

/// Real sandboxes.
@Suite(.serialized) struct UserNamespaceTests {
    private static func owner(_ path: String) -> uid_t {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_uid : .max
    }

    @Test func `root inside is nobody outside, owns its files and may what programs expect`() async throws {
        try await TestRuntime.run { test async throws in
            let script = """
                id -u; touch /made /etc/made; ls -lnd /bin /etc/hosts /made; echo more >> /etc/hosts && echo written
                nc -l -p 80 -w 1 -e true & cat /proc/self/uid_map; ls /sys/class/net; echo done; exec sleep 1000
                """
            let before = Self.owner("/dev/null")
            _ = try await test.started("users-1", script)
            _ = try await test.started("users-2", "exec sleep 1000")
            let ended = try await eventually { test.log("users-1").contains("done") }
            #expect(ended)
            let log = test.log("users-1"), lines = log.split(separator: "\n")
            #expect(lines.first == "0" && log.contains("written"), "\(log)")
            let owners = lines.filter { $0.hasPrefix("drwx") || $0.hasPrefix("-rw") }
            #expect(owners.count == 3 && owners.allSatisfy { $0.contains(" 0        0 ") }, "\(log)")
            #expect(lines.contains("eth0") && !log.contains("spv"), "only its own links")
            let ranges = ["users-1", "users-2"].compactMap { SandboxRecord.read(from: test.sandbox($0).path)?.users }
            try #require(ranges.count == 2)
            #expect(!ranges[0].all.overlaps(ranges[1].all))
            #expect(Self.owner(test.sandbox("users-1").upper + "/made") == ranges[0].first)
            #expect(Self.owner(test.image + "/bin") == 0, "the image is as it was")
            #expect(ImageFolders.isMounted(test.image), "and known to be in use")
            #expect(Self.owner("/dev/null") == before, "what is everybody's is given to nobody")
            let pid = try String(contentsOfFile: test.sandbox("users-1").pidFile, encoding: .utf8)
            let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
            #expect(status.contains("Uid:\t\(ranges[0].first)\t"))
            #expect(await test.runtime.isolation(of: "users-1").contains("ids \(ranges[0].first) to"))
            for id in ["users-1", "users-2"] { try await test.runtime.delete(id) }
            #expect(test.traces.isEmpty, "\(test.traces)")
            // Another test's sandbox may have them by now.
            #expect(readlink(ranges[0]) != test.sandbox("users-1").path, "its ids are free")
        }
    }

    private func readlink(_ range: IdentifierRange) -> String? {
        try? FileManager.default.destinationOfSymbolicLink(atPath: "\(IdentifierLeases.sharedFolder)/\(range.first)")
    }

    @Test func `where they are turned off sandboxes are made without, and a sandbox of before lives on`() async throws {
        try await TestRuntime.run { test async throws in
            var configuration = test.configuration
            configuration.userNamespaces.mode = .off
            let plain = try LocalEngine(configuration: configuration, logger: Logger(label: "test"))
            _ = try await plain.prepare(test.spec("plain-1", "cat /proc/self/uid_map; exec sleep 1000"))
            try await plain.start("plain-1")
            let isSeen = try await eventually { test.log("plain-1").contains("4294967295") }
            #expect(isSeen)
            #expect(await plain.isolation(of: "plain-1").contains("turned off"))
            // A server that makes others with.
            let later = try LocalEngine(configuration: test.configuration, logger: Logger(label: "test"))
            #expect(await later.state(of: "plain-1") == .running)
            try await later.pause("plain-1")
            try await later.resume("plain-1")
            try await later.delete("plain-1")
            #expect(test.traces.isEmpty, "\(test.traces)")
        }
    }

    @Test func `an image whose file system knows no other owners makes a sandbox without`() async throws {
        try await TestRuntime.run { test async throws in
            let image = test.folder + "/plain"
            mkdir(image, 0o755)
            try Command.run("mount", "-t", "ramfs", "none", image)
            defer { try? Command.run("umount", "-l", image) }
            try BusyboxImage.create(at: image)
            let spec = EngineSpec(id: "ramfs-1", imageRoot: image, entrypoint: ["/bin/sleep", "1000"])
            _ = try await test.runtime.prepare(spec)
            try await test.runtime.start("ramfs-1")
            #expect(await test.runtime.isolation(of: "ramfs-1").hasPrefix("no user namespace: its image"))
            var required = test.configuration
            required.userNamespaces.mode = .required
            let strict = try LocalEngine(configuration: required, logger: Logger(label: "test"))
            let other = EngineSpec(id: "ramfs-2", imageRoot: image, entrypoint: ["/bin/sleep", "1000"])
            await #expect(throws: RuntimeError.self) { try await strict.prepare(other) }
            #expect(await strict.state(of: "ramfs-2") == .missing)
            try await test.runtime.delete("ramfs-1")
        }
    }

    @Test func `another server finds the ids of sandboxes, and gives them to no other`() async throws {
        try await TestRuntime.run { test async throws in
            _ = try await test.started("found-1", "exec sleep 1000")
            let range = try #require(SandboxRecord.read(from: test.sandbox("found-1").path)?.users)
            let second = try LocalEngine(configuration: test.configuration, logger: Logger(label: "test"))
            #expect(readlink(range) == test.sandbox("found-1").path)
            try await second.delete("found-1")
            #expect(readlink(range) != test.sandbox("found-1").path)
        }
    }

    @Test(arguments: ["crun", "runc"].filter { (try? OCIRuntime.find($0)) != nil })
    func `every OCI runtime that is installed makes sandboxes with them`(name: String) async throws {
        try await TestRuntime.run { test async throws in
            var configuration = test.configuration
            (configuration.ociRuntime, configuration.userNamespaces.mode) = (name, .required)
            let runtime = try LocalEngine(configuration: configuration, logger: Logger(label: "test"))
            let id = "by-\(name)", script = "id -u; touch /made; cat /proc/self/uid_map; echo done; exec sleep 1000"
            _ = try await runtime.prepare(test.spec(id, script))
            try await runtime.start(id)
            let ended = try await eventually { test.log(id).contains("done") }
            #expect(ended && test.log(id).hasPrefix("0\n"))
            let range = try #require(SandboxRecord.read(from: test.sandbox(id).path)?.users)
            #expect(test.log(id).contains("\(range.first)"))
            #expect(Self.owner(test.sandbox(id).upper + "/made") == range.first)
            try await runtime.delete(id)
            #expect(test.traces.isEmpty, "\(test.traces)")
        }
    }

    @Test func `a trial that fails is said aloud, and is the end where user namespaces are required`() throws {
        let failure = RuntimeError.system(action: "trying", reason: "told to fail")
        var settings = UserNamespaceSettings.default
        func made() throws -> UserNamespaces {
            let leases = IdentifierLeases(settings, foreign: .init(accounts: [], subordinate: []))
            return try UserNamespaces(leases, logger: Logger(label: "test")) { (_) throws(RuntimeError) in throw failure
            }
        }
        let none = try made()
        #expect(none.obstacle == "trying: told to fail" && none.description(of: nil).contains("told to fail"))
        #expect(try none.make(for: SandboxFolder(path: "/nonexistent"), near: 0) == nil)
        settings.mode = .required
        #expect(throws: RuntimeError.noUserNamespaces("trying: told to fail")) { try made() }
    }
}
