import Foundation
import Glibc
import System
import TestSupport
import Testing

/// What a sandbox can leave behind is made here, and removed.
@Suite struct RemovalTests {
    private let folder = TemporaryFolder("removal")
    private var tree: String { folder.path + "/tree" }

    init() { mkdir(tree, 0o755) }

    private func shell(_ script: String) throws { try Command.run("sh", "-c", "cd '\(tree)' && \(script)") }

    /// Folders in folders, deeper than any path may be long.
    private func nest(_ levels: Int, from start: String) {
        let name = String(repeating: "n", count: 200)
        var folder = open(start, O_RDONLY | O_DIRECTORY)
        for _ in 0..<levels {
            mkdirat(folder, name, 0o755)
            close(openat(folder, "file", O_WRONLY | O_CREAT, 0o644))
            let next = openat(folder, name, O_RDONLY | O_DIRECTORY)
            close(folder)
            folder = next
        }
        close(folder)
    }

    @Test(arguments: [1, 23, 24, 25, 30, 2000])
    func `no depth stops a removal`(levels: Int) throws {
        nest(levels, from: tree)
        nest(levels / 2, from: folder.path + "/tree")
        try TreeRemoval.remove(tree)
        #expect(access(tree, F_OK) != 0)
    }

    @Test func `a removal needs few descriptors, however deep the tree`() throws {
        nest(2000, from: tree)
        // Descriptors that a removal of this depth would need one by one, are not to be had.
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        defer { setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) }
        var low = rlimit(rlim_cur: 1024, rlim_max: limit.rlim_max)
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &low)
        try TreeRemoval.remove(tree)
        #expect(access(tree, F_OK) != 0)
    }

    @Test func `no mode, name, flag or kind of entry stops a removal, and no link is followed`() throws {
        let kept = folder.path + "/kept"
        mkdir(kept, 0o755)
        try Data("kept".utf8).write(to: URL(filePath: kept + "/file"))
        try shell(
            """
            mkdir closed && touch closed/x && chmod 000 closed && mkfifo pipe && ln -s ../kept link && ln -s / root \
            && ln ../kept/file hard && touch -- '-rf' '*' "$(printf 'a\\nb')" "$(printf '\\377\\376')" \
            && mknod null c 1 3 && mkdir still && touch still/x immutable appended \
            && chattr +i immutable still && chattr +a appended && mkdir -p a/b/c && chattr +a a
            """)
        try TreeRemoval.remove(tree)
        #expect(access(tree, F_OK) != 0)
        #expect(File.text(kept + "/file") == "kept")
    }

    @Test func `mounts that were left behind are taken off, and what they show is kept`() throws {
        let kept = folder.path + "/kept"
        mkdir(kept, 0o755)
        try Data("kept".utf8).write(to: URL(filePath: kept + "/file"))
        try shell(
            """
            mkdir -p a/memory a/bound deep/bound && touch a/file \
            && mount -t tmpfs tmpfs a/memory && mkdir a/memory/x && mount -t tmpfs tmpfs a/memory/x \
            && mount --bind ../kept a/bound && mount --bind ../kept a/bound && mount --bind ../kept deep/bound \
            && mount --bind ../kept/file a/file && mount --bind deep deep
            """)
        try TreeRemoval.remove(tree)
        #expect(access(tree, F_OK) != 0)
        #expect(File.text(kept + "/file") == "kept")
        #expect(try !String(contentsOfFile: "/proc/self/mounts", encoding: .utf8).contains(tree))
    }

    @Test func `what programs still use is removed`() throws {
        try shell("cp /bin/sleep program && mkdir -p inside/here && echo text > open")
        let held = open(tree + "/open", O_RDONLY)
        defer { close(held) }
        let process = Process()
        process.executableURL = URL(filePath: tree + "/program")
        process.arguments = ["1000"]
        process.currentDirectoryURL = URL(filePath: tree + "/inside/here")
        try process.run()
        defer {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
        try TreeRemoval.remove(tree)
        #expect(access(tree, F_OK) != 0)
    }

    @Test func `a name is free at once when its folder is set aside, whatever is on it or in it`() throws {
        nest(30, from: tree)
        try shell("chattr +i . && mount --bind '\(tree)' '\(tree)'")
        let aside = try #require(try TreeRemoval.setAside(tree, into: folder.path + "/removed"))
        #expect(access(tree, F_OK) != 0 && access(aside, F_OK) == 0)
        let name = URL(fileURLWithPath: aside).lastPathComponent
        #expect(TreeRemoval.nameBefore(aside: name) == URL(fileURLWithPath: tree).lastPathComponent)
        mkdir(tree, 0o755)
        try TreeRemoval.remove(aside)
        #expect(access(aside, F_OK) != 0 && access(tree, F_OK) == 0)
        #expect(try TreeRemoval.setAside(folder.path + "/none", into: folder.path + "/removed") == nil)
    }

    @Test func `what cannot be removed is told in one short line, and the rest goes`() throws {
        // A file system that is mounted read-only, with what is in it as the sandbox's name would have it.
        mkdir(tree + "/memory", 0o755)
        try Command.run("mount", "-t", "tmpfs", "tmpfs", tree + "/memory")
        defer { try? Command.run("umount", "-l", tree + "/memory") }
        let inner = tree + "/memory/tree"
        mkdir(inner, 0o755)
        nest(30, from: inner)
        try Command.run("mount", "-o", "remount,ro", tree + "/memory")
        let error = #expect(throws: RemovalError.self) { try TreeRemoval.remove(inner) }
        #expect("\(error!)" == "removing \(inner): Read-only file system")
        try Command.run("mount", "-o", "remount,rw", tree + "/memory")
        try TreeRemoval.remove(inner)
        #expect(access(inner, F_OK) != 0)
    }

    @Test func `what is not there is no error`() throws {
        try TreeRemoval.remove(folder.path + "/none")
        try TreeRemoval.remove(folder.path + "/none/either")
    }

    @Test func `a user's removal empties what is mounted, and takes off neither a mount nor a protection`() throws {
        try shell("mkdir -p a/bound b ../kept && touch a/x b/y ../kept/file && mount --bind ../kept a/bound")
        defer { try? Command.run("umount", "-l", tree + "/a/bound") }
        #expect(throws: RemovalError(path: tree, code: EBUSY)) { try remove("tree", by: .rights) }
        #expect(access(folder.path + "/kept", F_OK) == 0 && access(folder.path + "/kept/file", F_OK) != 0)
        #expect(access(tree + "/a/bound", F_OK) == 0 && access(tree + "/a/x", F_OK) != 0, "the rest goes")
        try Command.run("umount", tree + "/a/bound")
        try shell("touch fixed && chattr +i fixed")
        #expect(throws: RemovalError(path: tree, code: EPERM)) { try remove("tree", by: .rights) }
        try shell("chattr -i fixed")
        nest(300, from: tree)
        try remove("tree", by: .rights)
        #expect(access(tree, F_OK) != 0)
        try remove("tree", by: .rights)
    }

    private func remove(_ name: String, by means: TreeRemoval.Means) throws {
        let parent = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { close(parent) }
        try TreeRemoval.remove(name, in: parent, named: folder.path + "/" + name, by: means)
    }
}
