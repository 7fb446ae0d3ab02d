import Glibc
import System
import TestSupport
import Testing

@testable import Runtimes

/// A file system on a loop device of its own.
private final class LoopFileSystem {
    private let folder = TemporaryFolder("shared")
    var path: String { folder.path + "/mounted" }

    /// The ways in which file systems are made, by their names.
    static let makers = [
        "xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"], "btrfs": ["mkfs.btrfs", "-q"],
        "ext4": ["mke2fs", "-q", "-t", "ext4"],
    ]

    init(_ kind: String) throws {
        let image = folder.path + "/image"
        mkdir(path, 0o755)
        try Command.run("truncate", "-s", "512M", image)
        try Command.run(Self.makers[kind]! + [image])
        try Command.run("mount", "-o", "loop", image, path)
    }

    deinit { try? Command.run("umount", "-l", path) }

    /// Bytes in use, of all that has been written.
    func used() throws -> Int {
        try Command.run("sync", "-f", path)
        var status = statvfs()
        #expect(statvfs(path, &status) == 0)
        return (Int(status.f_blocks) - Int(status.f_bfree)) * Int(status.f_frsize)
    }
}

/// Copies of layers on file systems that can share what is in files (FICLONE), and on one that cannot.
@Suite(.serialized) struct SharedContentTests {
    private static let size = 64 << 20

    private func layer(on disk: LoopFileSystem) throws -> String {
        let layer = disk.path + "/upper"
        try Command.run(
            "sh", "-ec",
            """
            mkdir \(layer); cd \(layer)
            head -c \(Self.size) /dev/urandom > large; for n in 1 2 3; do echo $n > small-$n; done
            truncate -s 32M holes; printf x | dd of=holes bs=1 seek=20000000 conv=notrunc status=none
            """)
        return layer
    }

    private func copy(_ layer: String, to folder: String) throws -> LayerTarget {
        mkdir(folder, 0o700)
        let target = LayerTarget(folder: folder, reserve: DiskReserve(folder: folder, bytes: 0))
        try LayerCopy(layer, to: target, LayerAttributes()).run()
        try Command.run("diff", "-r", layer, target.files)
        return target
    }

    @Test(arguments: ["xfs", "btrfs"])
    func `a copy takes no room until one side is written to, which the other does not see`(
        _ kind: String
    ) throws {
        let disk = try LoopFileSystem(kind)
        let layer = try layer(on: disk)
        let before = try disk.used()
        let target = try copy(layer, to: disk.path + "/target")
        let taken = try disk.used() - before
        #expect(taken < Self.size / 16, "\(taken) of \(Self.size) bytes were copied")
        try Command.run(
            "sh", "-ec",
            """
            cp \(target.files)/large \(disk.path)/kept
            printf changed | dd of=\(layer)/large conv=notrunc status=none
            cmp \(target.files)/large \(disk.path)/kept
            """)
    }

    @Test func `a file that cannot be shared is copied, and the next one is shared again`() throws {
        let disk = try LoopFileSystem("btrfs")
        let layer = disk.path + "/upper"
        // btrfs shares no content between files with and without sums, and only empty files can be told to have none.
        try Command.run(
            "sh", "-ec",
            """
            mkdir \(layer); touch \(layer)/bare; chattr +C \(layer)/bare
            head -c 1M /dev/urandom > \(layer)/bare; head -c \(Self.size) /dev/urandom > \(layer)/large
            """)
        let before = try disk.used()
        var content = LayerContent()
        for name in ["bare", "large"] {
            let from = open("\(layer)/\(name)", O_RDONLY), to = open("\(disk.path)/\(name)", O_WRONLY | O_CREAT, 0o600)
            defer { for file in [from, to] { close(file) } }
            var status = stat()
            #expect(fstat(from, &status) == 0)
            try content.copy(from: from, to: to, size: Int64(status.st_size)) { () throws(RuntimeError) in }
            try Command.run("cmp", "\(layer)/\(name)", "\(disk.path)/\(name)")
        }
        #expect(try disk.used() - before < Self.size / 8)
    }

    @Test(arguments: ["ext4", "btrfs"]) func `where nothing can be shared, all is copied, and holes stay holes`(
        _ kind: String
    ) throws {
        let disk = try LoopFileSystem(kind)
        let layer = try layer(on: disk)
        // Another file system, or one that shares nothing.
        let other = kind == "ext4" ? nil : try LoopFileSystem("ext4")
        let place = other ?? disk
        let before = try place.used()
        let target = try copy(layer, to: place.path + "/target")
        #expect(try place.used() - before >= Self.size)
        var status = stat()
        #expect(stat(target.files + "/holes", &status) == 0 && status.st_size == 32 << 20 && status.st_blocks < 1024)
    }
}
