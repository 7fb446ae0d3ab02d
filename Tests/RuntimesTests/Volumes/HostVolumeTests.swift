import Foundation
import Glibc
import Logging
import Synchronization
import System
import TestSupport
import Testing

@testable import Runtimes

/// Folders of the machine in real sandboxes.
@Suite(.serialized) struct HostVolumeTests {
    @Test func `a folder is written to and read by its owners' numbers, and stays when the sandbox goes`() async throws
    {
        try await VolumeRuntime.run { volumes async throws in
            let shared = volumes.shared
            try volumes.write("from the host\n", to: shared + "/marker.txt")
            let log = try await volumes.output(
                "host-1",
                "cat /data/marker.txt; echo inside > /data/made; ls -ln /data; grep /data /proc/self/mountinfo",
                [try volumes.host(shared, at: "/data")])
            #expect(log.contains("from the host"))
            #expect(
                log.split(separator: "\n").filter { $0.hasPrefix("-rw") }.allSatisfy { $0.contains(" 0        0 ") },
                "\(log)")
            #expect(log.contains("nosuid,nodev") && log.contains("rw,"), "\(log)")
            #expect(!log.contains("shared:") && !log.contains("master:"), "mounts of others do not come in: \(log)")
            #expect(contents(of: shared + "/made") == "inside\n" && owner(of: shared + "/made") == geteuid())
            #expect(!ControlGroup.entries(of: volumes.test.sandbox("host-1").path + "/volumes").isEmpty)
            #expect(
                contents(of: "/proc/self/mountinfo")?.contains(volumes.test.sandbox("host-1").path + "/volumes")
                    == false,
                "it is mounted for the sandbox alone")
            try await volumes.test.runtime.delete("host-1")
            #expect(volumes.test.traces.isEmpty, "\(volumes.test.traces)")
            #expect(contents(of: shared + "/made") == "inside\n" && contents(of: shared + "/marker.txt") != nil)
        }
    }

    @Test func `what is read-only cannot be written to or mounted again, beside the same folder to write to`()
        async throws
    {
        try await VolumeRuntime.run { volumes async throws in
            let shared = volumes.shared
            mkdir(shared + "/part", 0o755)
            try volumes.write("x", to: shared + "/secret")
            let script = """
                echo a > /ro/file; mount -o remount,bind,rw /ro; echo b > /ro/file; touch /ro/part/new
                echo c > /rw/file; cat /ro/file; ls /part; cat /part/../secret /part/secret
                """
            let log = try await volumes.output(
                "host-2", script,
                [
                    volumes.host(shared, at: "/ro", readOnly: true), volumes.host(shared, at: "/rw"),
                    volumes.host(shared, at: "/part", part: "part"),
                ])
            #expect(log.components(separatedBy: "Read-only file system").count >= 3, "\(log)")
            #expect(contents(of: shared + "/file") == "c\n" && log.contains("\nc\n"))
            #expect(access(shared + "/part/new", F_OK) != 0)
            #expect(log.components(separatedBy: "No such file").count >= 3, "nothing above the part is seen: \(log)")
        }
    }

    @Test func `a folder that is missing is made, and so is its part; a file can be mounted`() async throws {
        try await VolumeRuntime.run { volumes async throws in
            let shared = volumes.shared
            try volumes.write("text\n", to: shared + "/file")
            let log = try await volumes.output(
                "host-3", "touch /data/a /more/b && cat /opt2/file; touch /opt2/file && echo writable",
                [
                    volumes.host(shared + "/x/y", at: "/data", part: "p/q"), volumes.host(shared + "/x", at: "/more"),
                    volumes.host(shared + "/file", at: "/opt2/file", readOnly: true),
                ])
            #expect(access(shared + "/x/y/p/q/a", F_OK) == 0 && access(shared + "/x/b", F_OK) == 0)
            #expect(log.contains("text\n") && !log.contains("writable"), "\(log)")
        }
    }

    @Test func `what is not allowed, links and what is neither file nor folder are refused, and nothing is made`()
        async throws
    {
        try await VolumeRuntime.run { volumes async throws in
            let shared = volumes.shared
            mkdir(shared + "2", 0o755)
            mkdir(shared + "/real", 0o755)
            symlink("/etc", shared + "/out")
            symlink("real", shared + "/in")
            symlink("..", shared + "/real/up")
            mkfifo(shared + "/pipe", 0o600)
            for (path, part, code) in [
                ("/etc", "", VolumeProblem.Code.hostPathNotAllowed), (shared + "2", "", .hostPathNotAllowed),
                (volumes.test.folder, "", .hostPathNotAllowed), (shared + "/out", "", .hostPathNotAllowed),
                (shared + "/out/new", "", .hostPathNotAllowed), (shared + "/in", "", .hostPathNotAllowed),
                (shared + "/pipe", "", .invalidHostPath), (shared, "out", .invalidSubPath),
                (shared, "in/x", .invalidSubPath),
                (shared, "real/up/x", .invalidSubPath), (shared, "pipe", .invalidSubPath),
                (shared, "pipe/x", .invalidSubPath),
            ] {
                let volume = try volumes.host(path, at: "/data", part: part)
                #expect(try await volumes.refusal("host-4", [volume]).code == code, "\(path) \(part)")
                await #expect(throws: RuntimeError.self, "\(path) \(part)") {
                    try await volumes.test.runtime.admit([volume])
                }
            }
            #expect(access("/etc/new", F_OK) != 0 && ControlGroup.entries(of: shared + "/real") == ["up"])
        }
    }

    @Test func `a check makes nothing`() async throws {
        try await VolumeRuntime.run { volumes async throws in
            try await volumes.test.runtime.admit([
                volumes.host(volumes.shared + "/new", at: "/a"), volumes.host(volumes.shared, at: "/b", part: "x/y"),
                volumes.claim("new", at: "/c"),
            ])
            #expect(ControlGroup.entries(of: volumes.shared).isEmpty && volumes.named.all.isEmpty)
        }
    }

    @Test func `nothing is allowed where nothing is configured, and the server's own files never are`() async throws {
        let nothing = HostFolders(allowed: [], withheld: [])
        let all = HostFolders(allowed: [HostPath(configured: "/")!], withheld: ["/tmp"])
        let volume = SandboxVolume(
            name: "v", mountPath: try MountPath("/v", of: "v"), source: .host(try HostPath("/tmp", of: "v")))
        for (folders, path) in [(nothing, "/tmp"), (all, "/tmp"), (all, "/")] {
            #expect(throws: VolumeProblem.self, "\(path)") {
                _ = try folders.open(try #require(HostPath(configured: path)), volume, makes: false)
            }
        }
    }

    @Test(arguments: ["", "/own", "/own/deep", "/link/deep"])
    func `where the server's own files are nothing is made, not even before it is refused`(_ withheld: String) throws {
        let folder = TemporaryFolder("withheld")
        try Command.run("mkdir", "-p", folder.path + "/own")
        symlink(folder.path + "/own", folder.path + "/link")
        let folders = HostFolders(allowed: [HostPath(configured: folder.path)!], withheld: [folder.path + withheld])
        let path = try HostPath(folder.path + "/own/deep/er", of: "v")
        let volume = SandboxVolume(name: "v", mountPath: try MountPath("/v", of: "v"), source: .host(path))
        #expect {
            _ = try folders.open(path, volume, makes: true)
        } throws: {
            ($0 as? VolumeProblem)?.code == .hostPathNotAllowed
        }
        #expect(ControlGroup.entries(of: folder.path + "/own").isEmpty)
    }

    @Test func `folders in which buckets are mounted, and of namespaces, are not given`() async throws {
        func adjust(_ configuration: inout LocalConfiguration, _ folder: String) {
            configuration.storage.bucketRoot = folder + "/shared/buckets"
        }
        try await VolumeRuntime.run(adjust: adjust) { volumes async throws in
            for path in ["/shared", "/shared/buckets", "/shared/buckets/sp/other-v"] {
                let volume = try volumes.host(volumes.test.folder + path, at: "/data")
                #expect(try await volumes.refusal("own-1", [volume]).code == .hostPathNotAllowed, "\(path)")
            }
        }
    }

    @Test func `storage that answers no more holds up nothing but its own sandbox`() async throws {
        try await VolumeRuntime.run { volumes async throws in
            let runtime = volumes.test.runtime, hung = DispatchSemaphore(value: 0)
            // As many as there are threads for volumes, and more than there are others.
            for _ in 0..<20 {
                runtime.volumeThreads.opens.submit { hung.wait() }
                runtime.volumeThreads.checks.submit { hung.wait() }
            }
            let log = try await volumes.output("free-1", "echo runs", [])
            #expect(log.hasPrefix("runs"))
            try await runtime.pause("free-1")
            try await runtime.resume("free-1")
            try await runtime.delete("free-1")
            for _ in 0..<40 { hung.signal() }
        }
    }

    @Test func `who waits for hung storage is told so, and what comes of it later is undone`() async throws {
        var threads = VolumeThreads()
        threads.openPatience = .milliseconds(1)
        let hung = DispatchSemaphore(value: 0), (undone, undo) = AsyncStream<Void>.makeStream()
        let begun = Begun()
        // Until it has begun before its time is over.
        repeat {
            do throws(RuntimeError) {
                try await threads.open { () throws(RuntimeError) -> Void in
                    begun.value.store(true, ordering: .releasing)
                    hung.wait()
                } late: {
                    undo.yield()
                }
                Issue.record("nobody was told")
            } catch {}
            threads.openPatience *= 2
        } while !begun.value.load(ordering: .acquiring)
        for _ in 0..<64 { hung.signal() }
        for await _ in undone { break }
    }

    private final class Begun: Sendable { let value = Atomic(false) }

    @Test func `a folder that becomes a link between the check and the mount does not lead out`() async throws {
        try await VolumeRuntime.run { volumes async throws in
            let (place, shared) = (volumes.shared + "/swapped", volumes.shared)
            mkdir(place, 0o755)
            mkdir(shared + "/kept", 0o755)
            let volume = try volumes.host(place, at: "/data")
            try await volumes.test.runtime.admit([volume])
            _ = try await volumes.test.runtime.prepare(volumes.spec("host-5", "exec sleep 1000", [volume]))
            rmdir(place)
            symlink("/etc", place)
            await #expect(throws: RuntimeError.self) { try await volumes.test.runtime.start("host-5") }
            try await volumes.test.runtime.delete("host-5")
        }
    }

    /// Opened and swapped at the same time: what was opened is below the allowed folder each time.
    @Test func `a folder that is swapped with a link all the time is opened itself or not at all`() throws {
        let folder = TemporaryFolder("swap")
        let shared = folder.path + "/shared", place = shared + "/a", other = shared + "/b"
        for path in [shared, place] { mkdir(path, 0o755) }
        symlink(folder.path, other)
        mkdir(folder.path + "/x", 0o755)
        mkdir(place + "/x", 0o755)
        let folders = HostFolders(allowed: [HostPath(configured: shared)!], withheld: [])
        let volume = SandboxVolume(
            name: "v", mountPath: try MountPath("/v", of: "v"), source: .host(try HostPath(place + "/x", of: "v")))
        let inside = try inode(place + "/x"), swaps = Swaps(place, other)
        var opened = 0
        for _ in 0..<20_000 {
            var status = stat()
            do {
                guard let found = try folders.open(try HostPath(place + "/x", of: "v"), volume, makes: false) else {
                    continue
                }
                fstat(found.number, &status)
            } catch { continue }
            opened += 1
            guard status.st_ino == inside else {
                Issue.record("a folder outside was opened")
                break
            }
        }
        swaps.end()
        #expect(opened > 0)
    }

    private func inode(_ path: String) throws -> ino_t {
        var status = stat()
        try #require(stat(path, &status) == 0)
        return status.st_ino
    }
}

/// A thread that exchanges two names until it is told to end.
private final class Swaps: Sendable {
    private let isOver = Atomic(false)
    private let ended = DispatchSemaphore(value: 0)

    init(_ first: String, _ second: String) {
        Thread.detachNewThread { [self] in
            while !isOver.load(ordering: .relaxed) {
                rename(first, first + "-aside")
                rename(second, first)
                rename(first + "-aside", second)
            }
            ended.signal()
        }
    }

    func end() {
        isOver.store(true, ordering: .relaxed)
        ended.wait()
    }
}
