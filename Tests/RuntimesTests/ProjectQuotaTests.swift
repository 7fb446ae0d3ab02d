import CLinux
import Foundation
import Glibc
import Logging
import System
import TestSupport
import Testing

@testable import Runtimes

/// A file system with project quotas, on a loop device of its own; there is none where the kernel has no quotas.
final class QuotaFileSystem {
    private let folder = TemporaryFolder("quota")
    var path: String { folder.path + "/mounted" }

    static let isPossible = (try? QuotaFileSystem()) != nil

    init() throws {
        let image = folder.path + "/image"
        mkdir(path, 0o755)
        try Command.run("truncate", "-s", "512M", image)
        try Command.run("mke2fs", "-q", "-t", "ext4", "-O", "quota,project", "-E", "quotatype=prjquota", image)
        try Command.run("sh", "-c", "mount -o loop,prjquota \(image) \(path) 2>/dev/null")
    }

    deinit { try? Command.run("sh", "-c", "umount -l \(path) 2>/dev/null; true") }
}

@Suite(.serialized, .enabled(if: QuotaFileSystem.isPossible, "this kernel mounts no ext4 with project quotas"))
struct ProjectQuotaTests {
    private func limits(_ folder: String) throws -> DiskLimits {
        var configuration = DiskConfiguration()
        configuration.enforcement = .quota
        return try DiskLimits(configuration, folder: folder, logger: Logger(label: "test"))
    }

    /// Bytes that could be written, and why no more. ext4 applies no quota to the test's own rights.
    private func fill(_ path: String, _ most: Int = 128 << 20) -> (bytes: Int, code: CInt) {
        ProjectQuota.withoutRaisingLimits { write(path, most) } ?? (0, EPERM)
    }

    private func write(_ path: String, _ most: Int) -> (bytes: Int, code: CInt) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        defer { close(descriptor) }
        let chunk = [UInt8](repeating: 7, count: 1 << 20)
        var total = 0
        while total < most {
            let count = Glibc.write(descriptor, chunk, chunk.count)
            if count < 0 { return (total, errno) }
            total += count
        }
        return (total, 0)
    }

    /// Files that could be made, and why no more.
    private func make(in folder: String) -> (made: Int, code: CInt) {
        for made in 0..<10_000 {
            let file = open("\(folder)/\(made)", O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
            guard file >= 0 else { return (made, errno) }
            close(file)
        }
        return (10_000, 0)
    }

    private func disk(_ name: String, _ files: QuotaFileSystem) -> SandboxDisk {
        mkdir(files.path + "/" + name, 0o755)
        return SandboxDisk(folder: files.path + "/" + name)
    }

    @Test func `a folder is held to its bytes and files, and its neighbour has its own`() throws {
        let files = try QuotaFileSystem()
        let limits = try limits(files.path)
        #expect(limits.name == "project quotas")
        let one = disk("one", files), two = disk("two", files)
        for disk in [one, two] { try limits.make(disk, bytes: 32 << 20) }
        mkdir(one.path + "/deep", 0o755)
        let first = fill(one.path + "/deep/file")
        #expect(first.code == EDQUOT && first.bytes <= 32 << 20 && first.bytes > 24 << 20)
        #expect(fill(one.path + "/more").bytes == 0)
        #expect(fill(two.path + "/file").bytes > 24 << 20)
        unlink(one.path + "/deep/file")
        let (made, code) = try #require(ProjectQuota.withoutRaisingLimits { make(in: one.path) })
        #expect(code == EDQUOT && made > 1000 && made < 3000)
    }

    @Test func `a limit that is lifted is gone, with its number once the files are`() throws {
        let files = try QuotaFileSystem()
        let disk = disk("one", files)
        try limits(files.path).make(disk, bytes: 16 << 20)
        let project = UInt32(linux_project(disk.path))
        #expect(fill(disk.path + "/file").code == EDQUOT)
        #expect(linux_project_is_used(files.path, project) == 1)
        ProjectQuota.lift(disk.path)
        #expect(fill(disk.path + "/more", 32 << 20).code == 0)
        #expect(linux_project_is_used(files.path, project) == 1, "its files count")
        try TreeRemoval.remove(disk.folder)
        #expect(linux_project_is_used(files.path, project) == 0)
        ProjectQuota.lift(disk.path)
    }

    @Test func `the limit of a volume goes though its removal or its making was cut short`() throws {
        let files = try QuotaFileSystem(), limits = try limits(files.path)
        let named = NamedVolumes(directory: files.path + "/volumes", sandboxes: files.path + "/sandboxes")
        let projects = try [".removed/gone-1", ".new-1"].map { name in
            let folder = VolumeFolder(path: "\(files.path)/volumes/\(name)")
            try Command.run("mkdir", "-p", folder.path)
            _ = try limits.make(folder.disk, bytes: 16 << 20)
            return UInt32(linux_project(folder.disk.path))
        }
        #expect(projects.allSatisfy { linux_project_is_used(files.path, $0) == 1 })
        named.recover { path in _ = try? TreeRemoval.remove(path) }
        #expect(projects.allSatisfy { linux_project_is_used(files.path, $0) == 0 })
    }

    @Test func `a project that somebody else has given a folder is left alone`() throws {
        let files = try QuotaFileSystem()
        let folder = files.path + "/theirs"
        mkdir(folder, 0o755)
        #expect(linux_set_project(folder, 7) == 0 && linux_limit_project(files.path, 7, 1 << 20, 0) == 0)
        ProjectQuota.lift(folder)
        #expect(fill(folder + "/file").code == EDQUOT)
        #expect(ProjectQuota.probe(files.path) != nil)
        #expect(ControlGroup.entries(of: files.path).sorted() == ["lost+found", "theirs"], "a trial leaves nothing")
    }

    @Test func `a sandbox cannot fill more than its limit, which goes with it`() async throws {
        let files = try QuotaFileSystem()
        let test = try TestRuntime(stateDirectory: files.path + "/sandboxes")
        let limits = ResourceLimits(diskBytes: 32 << 20)
        let script = "cat /dev/zero > /full; exec sleep 1000"
        _ = try await test.started("quota-1", script, limits: limits)
        let folder = test.sandbox("quota-1")
        // What it prints counts, too: the end of it may not have a place any more.
        let file = folder.upper + "/full"
        let isFull = try await eventually {
            (try? FileManager.default.attributesOfItem(atPath: file)[.size] as? Int) ?? 0 > 24 << 20
        }
        #expect(isFull)
        let project = UInt32(linux_project(folder.disk.path))
        #expect(linux_project_is_used(files.path, project) == 1)
        #expect(linux_project(folder.upper) == Int64(project))
        try await test.runtime.delete("quota-1")
        let isGone = try await eventually { linux_project_is_used(files.path, project) == 0 }
        #expect(isGone && test.traces.isEmpty, "\(test.traces)")
    }
}
