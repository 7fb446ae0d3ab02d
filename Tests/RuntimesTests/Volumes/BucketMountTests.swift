import Foundation
import Glibc
import System
import TestSupport
import Testing

@testable import Runtimes

/// Buckets are mounted by programs that stand in for those of the storage's vendor.
@Suite(.serialized) struct BucketMountTests {
    private let folder = TemporaryFolder("buckets")
    private let keys = BucketKeys(id: "the-id", secret: "tops3cret")

    /// - Parameter script: of both programs; `$file` is the file with the keys, `$target` the mount point.
    private func mounts(_ script: String) throws -> BucketMounts {
        mkdir(folder.path + "/bin", 0o755)
        for (name, words) in [
            ("ossfs", "target=$2 file=${6#passwd_file=}"), ("s3fs", "target=$2 file=${6#passwd_file=}"),
            ("ossfs2", "target=$2 file=$4"), ("rclone", "target=$3 file=${4#--config=}"),
        ] {
            try Script.write(
                "#!/bin/sh\n\(words)\necho \"$0 $*\" >> \(folder.path)/calls\n\(script)\n",
                to: folder.path + "/bin/" + name)
        }
        var mounts = BucketMounts(root: folder.path + "/oss/deep", keysFolder: folder.path + "/run")
        mkdir(folder.path + "/run", 0o700)
        mounts.folders = [folder.path + "/bin", "/usr/bin", "/bin"]
        return mounts
    }

    private func volume(_ version: BucketClaim.Version) throws -> (SandboxVolume, BucketClaim) {
        let claim = BucketClaim(bucket: "abc", endpoint: "oss.example", version: version)
        return (
            SandboxVolume(
                name: "v", mountPath: try MountPath("/v", of: "v"), subPath: try SubPath("a", of: "v"),
                source: .bucket(claim)), claim
        )
    }

    @Test(arguments: BucketClaim.Version.allCases)
    func `a bucket is mounted with its keys in a file that nobody else reads and that goes at once`(
        _ version: BucketClaim.Version
    ) throws {
        let mounts = try mounts(
            """
            stat -c '%a %u' "$file" > \(folder.path)/mode; cat "$file" > \(folder.path)/keys
            mount -t tmpfs none "$target" && touch "$target/in-the-bucket"
            """)
        let (volume, claim) = try volume(version)
        let target = folder.path + "/oss/deep/box-v"
        do {
            let found = try mounts.mount(claim, volume, keys, sandbox: "box", owner: 7)
            #expect(faccessat(found.number, "in-the-bucket", F_OK, 0) == 0)
        }
        #expect(contents(of: folder.path + "/mode") == "600 0\n")
        #expect(contents(of: folder.path + "/keys")?.contains("tops3cret") == true)
        #expect(
            contents(of: folder.path + "/calls")?.contains("tops3cret") == false, "arguments are everybody's to read")
        #expect(ControlGroup.entries(of: folder.path + "/oss/deep") == ["box-v"], "the file is gone")
        #expect(ControlGroup.entries(of: folder.path + "/run").isEmpty, "the keys are gone")
        #expect(contents(of: folder.path + "/calls")?.contains(folder.path + "/run/") == true, "they were in memory")
        mounts.unmount([volume], sandbox: "other")
        #expect(access(target + "/in-the-bucket", F_OK) == 0, "another sandbox's is left alone")
        mounts.unmount([volume], sandbox: "box")
        #expect(ControlGroup.entries(of: folder.path + "/oss/deep").isEmpty)
        #expect(contents(of: "/proc/self/mountinfo")?.contains(target) == false)
    }

    @Test(arguments: [
        "echo \"refused for $(cat $file)\" >&2; exit 3", "true", "exec sleep 0 > /dev/null; exit 1",
    ]) func `a program that fails, or mounts nothing, is told of without its keys`(_ script: String) throws {
        let mounts = try mounts(script)
        let (volume, claim) = try volume(.two)
        do throws(RuntimeError) {
            _ = try mounts.mount(claim, volume, keys, sandbox: "box", owner: 7)
            Issue.record("it was not refused")
        } catch {
            guard case .volume(let problem) = error else { throw error }
            #expect(problem.code == .bucketMountFailed && !problem.description.contains("tops3cret"), "\(problem)")
        }
        mounts.unmount([volume], sandbox: "box")
        #expect(ControlGroup.entries(of: folder.path + "/oss/deep").isEmpty)
    }

    @Test func `a program has no more memory and descriptors than it needs, and goes first where memory runs out`()
        throws
    {
        let limits = "Max address space|Max open files|Max core file size"
        let mounts = try mounts(
            """
            grep -E '\(limits)' /proc/self/limits > \(folder.path)/limits; cat /proc/self/oom_score_adj >> \(folder.path)/limits
            mount -t tmpfs none "$target"
            """)
        let (volume, claim) = try volume(.s3)
        _ = try mounts.mount(claim, volume, keys, sandbox: "box", owner: 7)
        let lines = (contents(of: folder.path + "/limits") ?? "").split(separator: "\n").map {
            $0.split(separator: " ")
        }
        #expect(lines.first { $0.contains("address") }?.contains("2147483648") == true)
        #expect(lines.first { $0.contains("open") }?.contains("1024") == true)
        #expect(lines.first { $0.contains("core") }?.filter { $0 == "0" }.count == 2)
        #expect(lines.last?.first == "1000")
        mounts.unmount([volume], sandbox: "box")
    }

    @Test(arguments: [0o755, 0o711, 0o777]) func `root alone gets to the mounts, whatever rights their folder had`(
        _ mode: mode_t
    ) throws {
        let mounts = try mounts("mount -t tmpfs none \"$target\"")
        try Command.run("mkdir", "-p", mounts.root)
        chmod(mounts.root, mode)
        chown(mounts.root, 1000, 1000)
        let (volume, claim) = try volume(.two)
        _ = try mounts.mount(claim, volume, keys, sandbox: "box", owner: 7)
        var status = stat()
        #expect(stat(mounts.root, &status) == 0 && status.st_mode & 0o777 == 0o700 && status.st_uid == 0)
        mounts.unmount([volume], sandbox: "box")
    }

    @Test func `keys and mounts that a killed server left go when the next starts, but not those of sandboxes`() throws
    {
        let mounts = try mounts("mount -t tmpfs none \"$target\"")
        let (volume, claim) = try volume(.two)
        for sandbox in ["gone", "there"] { _ = try mounts.mount(claim, volume, keys, sandbox: sandbox, owner: 7) }
        try "tops3cret".write(toFile: folder.path + "/run/bucket-keys-gone-v", atomically: false, encoding: .utf8)
        try "other".write(toFile: folder.path + "/run/other", atomically: false, encoding: .utf8)
        mounts.recover(sandboxes: ["there"])
        #expect(ControlGroup.entries(of: mounts.root) == ["there-v"])
        #expect(ControlGroup.entries(of: folder.path + "/run") == ["other"])
        #expect(contents(of: "/proc/self/mountinfo")?.contains(mounts.root + "/gone-v") == false)
        mounts.unmount([volume], sandbox: "there")
    }

    @Test func `what is mounted for a sandbox is found without its volumes, and nothing of another's`() throws {
        let mounts = try mounts("mount -t tmpfs none \"$target\"")
        let (volume, claim) = try volume(.two)
        for sandbox in ["one", "two"] { _ = try mounts.mount(claim, volume, keys, sandbox: sandbox, owner: 7) }
        mounts.unmount(sandbox: "one")
        #expect(ControlGroup.entries(of: mounts.root) == ["two-v"])
        mounts.cutOff(sandbox: "two")
        #expect(contents(of: "/proc/self/mountinfo")?.contains(mounts.root) == false)
        mounts.unmount(sandbox: "two")
        #expect(ControlGroup.entries(of: mounts.root).isEmpty)
    }

    @Test func `where a program is missing it is named`() throws {
        var mounts = BucketMounts(root: folder.path + "/oss", keysFolder: folder.path)
        mounts.folders = [folder.path]
        #expect {
            try mounts.check(BucketClaim(bucket: "abc", endpoint: "e", version: .one))
        } throws: {
            ($0 as? VolumeProblem)?.description.contains("ossfs is not installed") == true
        }
    }
}
