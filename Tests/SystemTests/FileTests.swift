import Glibc
import Testing

@testable import System

@Suite struct FileTests {
    /// A folder of the test's own, with nothing in it.
    private let folder: String

    init() throws {
        var template = Array("/tmp/sallyport-files-XXXXXX".utf8CString)
        folder = String(cString: try #require(mkdtemp(&template)))
    }

    private func removed(_ names: String...) {
        for name in names { unlink(folder + "/" + name) }
        #expect(rmdir(folder) == 0, "nothing else was left")
    }

    @Test func `what is written is read, and one byte more than the limit is an error`() throws {
        let path = folder + "/a", bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0) }
        try File.write(bytes, to: path, mode: 0o600)
        #expect(try File.read(path, limit: bytes.count) == bytes)
        #expect(throws: SystemCallError(code: EFBIG)) { try File.read(path, limit: bytes.count - 1) }
        try File.write([1], to: path, mode: 0o600)
        #expect(try File.read(path) == [1], "what was longer is not left behind")
        removed("a")
    }

    @Test func `files of proc, which say that they are empty, are read whole`() throws {
        #expect(try File.read("/proc/self/status").count > 100)
        #expect(File.text("/proc/self/status")?.hasPrefix("Name:") == true)
    }

    @Test func `a missing file is nil where that is asked for, and an error elsewhere`() throws {
        #expect(try File.readIfPresent(folder + "/none") == nil)
        #expect(try File.readIfPresent("/dev/null/none") == nil)
        #expect(throws: SystemCallError(code: ENOENT)) { try File.read(folder + "/none") }
        #expect(throws: SystemCallError(code: EISDIR)) { try File.readIfPresent(folder) }
        removed()
    }

    @Test func `a link is not followed by who must not, and never written through`() throws {
        let path = folder + "/file", link = folder + "/link"
        try File.write([7], to: path, mode: 0o600)
        #expect(symlink(path, link) == 0)
        #expect(try File.read(link) == [7])
        #expect(throws: SystemCallError(code: ELOOP)) { try File.read(link, followsLinks: false) }
        #expect(throws: SystemCallError(code: ELOOP)) { try File.write([8], to: link, mode: 0o600) }
        #expect(try File.read(path) == [7])
        removed("file", "link")
    }

    @Test func `a FIFO without a writer does not keep its reader waiting`() throws {
        #expect(mkfifo(folder + "/fifo", 0o600) == 0)
        #expect(try File.read(folder + "/fifo") == [])
        removed("fifo")
    }

    @Test func `a folder that the kernel cannot read any more does not seem to end`() throws {
        let stream = try FolderStream(folder)
        let other = open("/dev/null", O_RDONLY)
        defer { close(other) }
        // In the place of the folder, as if its disk were gone.
        #expect(dup2(other, dirfd(stream.stream)) >= 0)
        #expect(throws: SystemCallError(code: ENOTDIR)) { try stream.read() }
    }

    @Test
    func `names are the kernel's: any bytes, in any number, and those that are not UTF-8 are not taken for others`()
        throws
    {
        let odd: [CChar] = [0x61, -1, 0x28, 0]
        #expect(
            close(open(odd.withUnsafeBufferPointer { folder + "/" + String(cString: $0.baseAddress!) }, O_CREAT, 0o600))
                == 0)
        let parent = open(folder, O_RDONLY | O_DIRECTORY)
        defer { close(parent) }
        #expect(close(openat(parent, odd, O_CREAT | O_WRONLY, 0o600)) == 0)
        let names = try FolderStream(of: parent).sorted()
        #expect(names.count == 2 && names.filter { $0.text == nil }.map(\.cString) == [odd])
        #expect(names.allSatisfy { $0.description == "a\u{fffd}(" }, "for messages both are the same")
        #expect(try FolderStream(folder).sorted() == names, "a folder is read as often as one likes")
        #expect(throws: SystemCallError(code: ENOTDIR)) { try FolderStream("/dev/null") }
        for name in names { #expect(unlinkat(parent, name.cString, 0) == 0) }
        removed()
    }

    @Test func `a replacement is in force when it is published, and gone when it is not`() throws {
        let path = folder + "/b"
        try File.replace(path, with: [1], mode: 0o640)
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o640)
        do {
            let staged = try ReplacementFile(staging: [2], for: path)
            #expect(try File.read(path) == [1])
            _ = consume staged
        }
        #expect(try File.read(path) == [1] && File.names(in: folder) == ["b"])
        try ReplacementFile(staging: [2], for: path, synchronizes: true).publish()
        #expect(try File.read(path) == [2])
        removed("b")
    }

    @Test func `a stamp is another one after a change of content or of rights, and none without a file`() throws {
        let path = folder + "/c"
        #expect(ChangeStamp(path) == nil)
        try File.write([1], to: path, mode: 0o600)
        let first = ChangeStamp(path)
        #expect(first != nil && ChangeStamp(path) == first)
        try File.replace(path, with: [2], mode: 0o600)
        let second = ChangeStamp(path)
        #expect(second != first)
        // Enough for the clock of the file system to go on.
        while ChangeStamp(path) == second { chmod(path, 0o400) }
        #expect(try File.read(path) == [2])
        removed("c")
    }

    @Test func `a descriptor is closed once, by its owner, and not at all when it is released`() throws {
        let first: CInt
        do {
            let owner = try FileDescriptor(opening: "/dev/null", O_RDONLY)
            first = owner.number
            #expect(fcntl(first, F_GETFD) & FD_CLOEXEC != 0)
        }
        let released = try FileDescriptor(opening: "/dev/null", O_RDONLY).release()
        #expect(fcntl(released, F_GETFD) >= 0)
        #expect(close(released) == 0)
        #expect(throws: SystemCallError(code: ENOENT)) {
            let none = try FileDescriptor(opening: "/dev/null-none", O_RDONLY)
            _ = none.number
        }
    }
}
