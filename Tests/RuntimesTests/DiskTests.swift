import Foundation
import Glibc
import Logging
import System
import TestSupport
import Testing

@testable import Runtimes

/// A sandbox's folder with a disk of its own, held by an image.
private final class TestDisk {
    let folder = TemporaryFolder("disk")
    let disk: SandboxDisk
    static let bytes: Int64 = 32 << 20

    init() throws {
        disk = SandboxDisk(folder: folder.path + "/a")
        mkdir(disk.folder, 0o700)
        var configuration = DiskConfiguration()
        configuration.enforcement = .image
        let limits = try DiskLimits(configuration, folder: folder.path, logger: Logger(label: "test"))
        try limits.make(disk, bytes: Self.bytes)
    }

    deinit { disk.unmount() }

    /// Bytes that the image takes of the host's disk.
    var taken: Int {
        var status = stat()
        return stat(disk.image, &status) == 0 ? Int(status.st_blocks) * 512 : -1
    }

    func flush() throws { try Command.run("sync", "-f", disk.path) }

    var devices: [String] {
        ControlGroup.entries(of: "/sys/block").filter {
            contents(of: "/sys/block/\($0)/loop/backing_file")?.contains(folder.path) ?? false
        }
    }

    /// Writes until it is refused. - Returns: bytes that were written, and the refusal.
    func fill(_ name: String) -> (bytes: Int, code: CInt) {
        let descriptor = open(disk.path + "/" + name, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        defer { close(descriptor) }
        let chunk = [UInt8](repeating: 7, count: 1 << 20)
        var total = 0
        while total < 4 * Int(Self.bytes) {
            let count = write(descriptor, chunk, chunk.count)
            if count < 0 { return (total, errno) }
            total += count
        }
        return (total, 0)
    }
}

@Suite(.serialized) struct DiskTests {
    @Test func `a full disk refuses with ENOSPC, and takes no more of the host than its limit`() throws {
        let test = try TestDisk()
        #expect(test.taken < 1 << 20, "an empty one takes next to nothing")
        let (bytes, code) = test.fill("file")
        #expect(code == ENOSPC)
        #expect(bytes > Int(TestDisk.bytes) / 2 && bytes < Int(TestDisk.bytes))
        try test.flush()
        #expect(test.taken <= Int(TestDisk.bytes))
        unlink(test.disk.path + "/file")
        #expect(test.fill("again").code == ENOSPC, "what is deleted can be used again")
    }

    @Test func `files without contents are limited, too`() throws {
        let test = try TestDisk()
        var made = 0
        while made < 100_000 {
            let file = open("\(test.disk.path)/\(made)", O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
            guard file >= 0 else { break }
            close(file)
            made += 1
        }
        #expect(errno == ENOSPC && made > 1000 && made < 10_000)
    }

    @Test func `what is deleted inside is given back to the host`() async throws {
        let test = try TestDisk()
        _ = test.fill("file")
        try test.flush()
        #expect(test.taken > Int(TestDisk.bytes) / 2)
        unlink(test.disk.path + "/file")
        let isBack = try await eventually {
            try test.flush()
            return test.taken < Int(TestDisk.bytes) / 4
        }
        #expect(isBack, "\(test.taken)")
    }

    @Test func `no mount and no loop device stays, also of one that is full and in use`() async throws {
        let test = try TestDisk()
        #expect(test.devices.count == 1)
        _ = test.fill("file")
        let held = open(test.disk.path + "/file", O_RDONLY | O_CLOEXEC)
        test.disk.unmount()
        test.disk.unmount()
        close(held)
        let isFree = try await eventually { test.devices.isEmpty }
        #expect(isFree)
        #expect(contents(of: "/proc/self/mounts")?.contains(test.folder.path) == false)
        try TreeRemoval.remove(test.disk.folder)
        #expect(access(test.disk.folder, F_OK) != 0)
    }

    @Test func `a disk whose mount has gone is there again for reading`() throws {
        let test = try TestDisk()
        try Data("said".utf8).write(to: URL(filePath: test.disk.path + "/log"))
        try Command.run("umount", test.disk.path)
        #expect(access(test.disk.path + "/log", F_OK) != 0)
        try test.disk.remount()
        try test.disk.remount()
        #expect(contents(of: test.disk.path + "/log") == "said")
        #expect(open(test.disk.path + "/new", O_WRONLY | O_CREAT, 0o600) < 0 && errno == EROFS)
    }

    @Test func `a limit that nothing holds is not promised`() throws {
        let folder = TemporaryFolder("disk")
        var configuration = DiskConfiguration()
        configuration.enforcement = .off
        let limits = try DiskLimits(configuration, folder: folder.path, logger: Logger(label: "test"))
        #expect(!limits.isEnforced)
        configuration.enforcement = .quota
        if ProjectQuota.probe(folder.path) == nil {
            #expect(throws: RuntimeError.self) {
                try DiskLimits(configuration, folder: folder.path, logger: Logger(label: "test"))
            }
        }
        #expect(ControlGroup.entries(of: folder.path).isEmpty, "trials leave nothing")
    }

    @Test func `quotas are tried without the right to raise limits, which the thread has again`() throws {
        func rights() throws -> UInt64 {
            let status = try #require(contents(of: "/proc/thread-self/status"))
            let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("CapEff:") })
            return try #require(UInt64(line.dropFirst("CapEff:\t".count), radix: 16))
        }
        let before = try rights()
        let during = try #require(ProjectQuota.withoutRaisingLimits { try? rights() })
        #expect(during == before & ~(1 << 24))
        #expect(try rights() == before)
    }

    @Test func `sizes that are asked for again come from memory, and only some are kept`() throws {
        let folder = TemporaryFolder("disk")
        let templates = try DiskTemplates(folder: folder.path)
        for size in 0..<12 {
            let template = try templates.template(of: Int64(64 + size) << 20)
            #expect(template.bytes == Int64(64 + size) << 20)
            #expect(template.parts.reduce(0) { $0 + $1.bytes.count } < 1 << 20)
        }
        #expect(ControlGroup.entries(of: folder.path).isEmpty)
    }

    @Test(arguments: ["size=64m", "size=64m,nr_inodes=40"])
    func `a disk of the server that is nearly full is told before anything is made`(options: String) throws {
        let folder = TemporaryFolder("reserve")
        try Command.run("mount", "-t", "tmpfs", "-o", options, "tmpfs", folder.path)
        defer { try? Command.run("umount", "-l", folder.path) }
        let reserve = DiskReserve(folder: folder.path, bytes: 1 << 30)
        try reserve.check()
        if options.contains("nr_inodes") {
            for name in 0..<36 { close(open("\(folder.path)/\(name)", O_WRONLY | O_CREAT, 0o600)) }
        } else {
            try Command.run("dd", "if=/dev/zero", "of=\(folder.path)/file", "bs=1M", "count=60", "status=none")
        }
        let error = #expect(throws: RuntimeError.self) { try reserve.check() }
        #expect("\(error!)".contains("nearly full"))
    }
}

@Suite struct OutputFileTests {
    private let folder = TemporaryFolder("output")
    private var output: OutputFile { OutputFile(path: folder.path + "/log") }

    private func size(_ path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : -1
    }

    /// The control is the last line: what waits for the lease's end reads what the file holds.
    @Test func `a lease that a program inside holds on the output makes nobody wait`() async throws {
        try Command.run("sh", "-c", "seq 1000 > \(output.path)")
        let script = """
            import fcntl, os, signal, sys
            signal.signal(signal.SIGIO, signal.SIG_IGN)
            fcntl.fcntl(os.open(sys.argv[1], os.O_RDWR), fcntl.F_SETLEASE, fcntl.F_WRLCK)
            open(sys.argv[1] + ".held", "w").close(); sys.stdin.read()
            """
        let (holder, input) = (Process(), Pipe())
        holder.executableURL = URL(filePath: "/usr/bin/python3")
        holder.arguments = ["-c", script, output.path]
        (holder.standardInput, holder.standardOutput) = (input, FileHandle.nullDevice)
        try holder.run()
        defer {
            try? input.fileHandleForWriting.close()
            holder.waitUntilExit()
        }
        let isHeld = try await eventually { access(output.path + ".held", F_OK) == 0 }
        #expect(isHeld)
        #expect(output.tail() == "")
        output.rotate(limit: 100)
        #expect(size(output.path) > 100)
        try input.fileHandleForWriting.close()
        holder.waitUntilExit()
        #expect(output.tail().hasSuffix("999\n1000\n"))
    }

    @Test func `output that grows is cut, its last part is kept, and printing goes on`() throws {
        let writer = try output.open()
        defer { close(writer) }
        for number in 0..<100 {
            let line = "line \(number) " + String(repeating: "x", count: 2000) + "\n"
            #expect(write(writer, line, line.utf8.count) == line.utf8.count)
            output.rotate(limit: 65536)
            #expect(size(output.path) <= 65536 + line.utf8.count && size(output.earlier) <= 32768)
        }
        let tail = output.tail(bytes: 30_000)
        #expect(tail.utf8.count == 30_000 && tail.contains("line 99 ") && tail.contains("line 88 "))
        #expect(output.tail(bytes: 10) == "xxxxxxxxx\n")
    }

    @Test func `a file that claims to be huge is read and kept in no more than its limit`() throws {
        let writer = try output.open()
        defer { close(writer) }
        // What a program does that has opened /proc/1/fd/1 anew.
        #expect(truncate(output.path, 1 << 40) == 0)
        write(writer, "end\n", 4)
        #expect(output.tail(bytes: 100).hasSuffix("end\n"))
        output.rotate(limit: 65536)
        #expect(size(output.path) == 0 && size(output.earlier) == 32768)
        #expect(output.tail(bytes: 100).hasSuffix("end\n"))
    }

    @Test func `a link in the place of the output leads nowhere`() throws {
        let other = folder.path + "/other"
        try Data("secret".utf8).write(to: URL(filePath: other))
        symlink(other, output.path)
        symlink(other, output.earlier)
        #expect(throws: RuntimeError.self) { try output.open() }
        output.rotate(limit: 1)
        #expect(output.tail().isEmpty && contents(of: other) == "secret")
    }

    @Test func `a sandbox that has printed nothing has no output`() { #expect(output.tail().isEmpty) }
}
