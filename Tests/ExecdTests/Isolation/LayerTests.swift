import Foundation
import TestSupport
import Testing

@testable import Execd

@Suite struct LayerTests {
    /// What a program that is not ours reads in an archive.
    private func listing(_ bytes: [UInt8], _ arguments: String...) throws -> String {
        let folder = TemporaryFolder("layer")
        let path = folder.path + "/archive"
        try Data(bytes).write(to: URL(filePath: path))
        let output = folder.path + "/out"
        try Command.run("sh", "-c", "LC_ALL=C.UTF-8 tar \(arguments.joined(separator: " ")) -f \(path) > \(output)")
        return try String(contentsOfFile: output, encoding: .utf8)
    }

    @Test(arguments: [0, 1, 65535, 65536, 200_000])
    func `gzip reads what was not compressed`(_ count: Int) throws {
        let content = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        var stream = GzipStream()
        var bytes = GzipStream.head
        for start in stride(from: 0, to: count, by: 70_000) {
            bytes += stream.append(Array(content[start..<min(start + 70_000, count)]))
        }
        bytes += stream.finish()
        let folder = TemporaryFolder("gzip")
        try Data(bytes).write(to: URL(filePath: folder.path + "/a.gz"))
        try Command.run("gunzip", folder.path + "/a.gz")
        #expect(try Data(contentsOf: URL(filePath: folder.path + "/a")) == Data(content))
    }

    @Test func `a commit replaces what is a link below, and follows none`() throws {
        let folder = TemporaryFolder("commit")
        let (upper, lower, outside) = (folder.path + "/upper", folder.path + "/lower", folder.path + "/outside")
        try Command.run(
            "sh", "-c",
            "mkdir -p \(upper)/sub \(upper)/deep/er \(lower) \(outside); echo new > \(upper)/sub/file; echo a > \(upper)/deep/er/a; "
                + "ln -s target \(upper)/link; ln -s \(outside) \(lower)/sub; mkdir \(lower)/link; touch \(lower)/link/x; "
                + "echo kept > \(outside)/file; echo file > \(lower)/deep")
        var commit = LayerCommit()
        try commit.carry(upper, to: lower)
        func text(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }
        #expect(try text(outside + "/file") == "kept\n" && text(lower + "/sub/file") == "new\n")
        #expect(try text(lower + "/deep/er/a") == "a\n")
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: lower + "/link") == "target")
        #expect(commit.count == .init(files: 2, folders: 3, links: 1, deleted: 3))
    }

    @Test func `no name and no depth keeps a folder`() throws {
        let folder = TemporaryFolder("removal")
        try Command.run(
            "sh", "-c",
            "cd \(folder.path) && mkdir top && cd top && touch \"$(printf '\\377')\" \"$(printf 'a\\303(')\" && "
                + "for i in $(seq 700); do mkdir d && cd d || exit 1; done && touch end")
        try FolderChanges.removeTree(folder.path + "/top")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }

    @Test func `a folder is made through no link`() throws {
        let folder = TemporaryFolder("links")
        try Command.run("sh", "-c", "cd \(folder.path) && mkdir real && ln -s real link")
        #expect(throws: FileError.self) { try FolderChanges.createWithoutLinks(folder.path + "/link/new") }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path + "/real").isEmpty)
        let made = try FolderChanges.createWithoutLinks(folder.path + "/real/a/b")
        #expect(made == [folder.path + "/real/a", folder.path + "/real/a/b"])
        #expect(try FolderChanges.createWithoutLinks(folder.path + "/real/a/b").isEmpty)
    }

    @Test func `names and links that are not UTF-8 are in a layer, and carried over`() throws {
        let folder = TemporaryFolder("names")
        let (upper, lower) = (folder.path + "/upper", folder.path + "/lower")
        let odd = "$(printf '\\377')", other = "$(printf 'a\\303(')"
        try Command.run(
            "sh", "-c",
            "mkdir -p \(upper)/\(odd) \(lower) && cd \(upper) && echo x > \(odd)/\(other) && ln -s \(odd) link && mknod \(other) c 0 0 "
                + "&& touch \(lower)/\(other)")
        let archive = try LayerArchive([(upper, "/data")])
        var bytes: [UInt8] = []
        while case let piece = try archive.next(), !piece.isEmpty { bytes += piece }
        try Data(bytes).write(to: URL(filePath: folder.path + "/layer"))
        try Command.run(
            "sh", "-c",
            "cd \(folder.path) && tar -xzf layer && cmp upper/\(odd)/\(other) data/\(odd)/\(other) && test -e data/.wh.\(other) "
                + "&& test \"$(readlink data/link)\" = \(odd)")
        var commit = LayerCommit()
        try commit.carry(upper, to: lower)
        try Command.run(
            "sh", "-c",
            "cd \(folder.path) && cmp upper/\(odd)/\(other) lower/\(odd)/\(other) && ! test -e lower/\(other) "
                + "&& test \"$(readlink lower/link)\" = \(odd)")
        #expect(commit.count == .init(files: 1, folders: 1, links: 1, deleted: 1))
    }

    @Test func `what a session has removed is removed below, and an archive says so`() throws {
        let folder = TemporaryFolder("whiteout")
        let (upper, lower) = (folder.path + "/upper", folder.path + "/lower")
        try Command.run(
            "sh", "-c",
            "mkdir -p \(upper)/new \(lower)/gone/deep \(lower)/new; touch \(lower)/gone/deep/x \(lower)/new/old; "
                + "mknod \(upper)/gone c 0 0; touch \(upper)/new/file; mkfifo \(upper)/pipe; "
                + "python3 -c 'import os; os.setxattr(\"\(upper)/new\", \"user.overlay.opaque\", b\"y\")'")
        let archive = try LayerArchive([(upper, "/data/x")])
        var bytes: [UInt8] = []
        while true {
            let piece = try archive.next()
            guard !piece.isEmpty else { break }
            bytes += piece
        }
        let names = try listing(bytes, "-tz").split(separator: "\n").sorted()
        #expect(
            names == [
                "data/x/.wh.gone", "data/x/new/", "data/x/new/.wh..wh..opq", "data/x/new/file",
            ])
        var commit = LayerCommit()
        try commit.carry(upper, to: lower)
        let found = try FileManager.default.subpathsOfDirectory(atPath: lower).sorted()
        #expect(found == ["new", "new/file", "pipe"])
    }
}
