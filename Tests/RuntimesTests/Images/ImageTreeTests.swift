import Glibc
import TestSupport
import Testing

@testable import Runtimes

@Suite struct ImageTreeTests {
    @Test func `what the kernel would obey is taken out, and the rest stays as it was`() throws {
        let fixture = try StoreFixture()
        let root = fixture.folder + "/tree"
        let script = """
            mkdir -p deep/er empty; cd deep/er
            mknod a-device c 1 3; mknod a-disk b 7 7; mknod hidden c 0 0; mkfifo pipe
            python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
            echo x > file; chmod 6755 file; ln file linked; ln -s /etc/shadow out; ln -s pipe dangling
            printf x > "$(printf 'latin1-\\351')"; mkfifo "$(printf 'pipe-\\351')"; printf x > "$(printf 'line\\nbreak')"
            python3 - <<'END'
            import os
            for name in ("user.note", "user.overlay.redirect", "trusted.overlay.opaque", "trusted.other"):
                os.setxattr("file", name, b"y"); os.setxattr("..", name, b"y")
            os.setxattr("file", "security.capability", b"\\1\\0\\0\\2\\0\\4" + bytes(14))
            os.setxattr("out", "trusted.overlay.redirect", b"/", follow_symlinks=False)
            END
            """
        try Command.run("sh", "-c", "mkdir \(root) && cd \(root) && \(script)")
        let removed = try ImageTree(root: root).clean(ImageReference("a"))
        #expect(removed == ImageTree.Removed(nodes: 6, attributes: 7))
        try Command.run("sh", "-c", "test -z \"$(find \(root) ! -type f ! -type d ! -type l)\"")
        try Command.run(
            "sh", "-c",
            """
            cd \(root)/deep/er && test "$(stat -c %a-%h file)" = 6755-2 -a "$(readlink out)" = /etc/shadow -a -d ../../empty \
            && test "$(ls | wc -l)" = 7 && python3 -c '
            import os; assert sorted(os.listxattr("file")) == ["security.capability", "user.note"], os.listxattr("file")
            assert os.listxattr("..") == ["user.note"] and not os.listxattr("out", follow_symlinks=False)'
            """)
        #expect(try ImageTree(root: root).clean(ImageReference("a")) == ImageTree.Removed(), "it comes to rest")
    }

    @Test func `every folder is looked at, however they are nested`() throws {
        let fixture = try StoreFixture()
        let root = fixture.folder + "/tree"
        let deep = (0..<15).map { _ in String(repeating: "d", count: 200) }.joined(separator: "/")
        let script = """
            for place in a a/b a/b/c a/d e f/g/h f/i; do mkdir -p \(root)/$place; mkfifo \(root)/$place/pipe; done
            mkdir -p \(root)/\(deep); cd \(root)/\(deep); mkdir 1 2 3; mkfifo 1/pipe 2/pipe 3/pipe
            """
        try Command.run("sh", "-c", script)
        #expect(try ImageTree(root: root).clean(ImageReference("a")).nodes == 10)
        try Command.run("sh", "-c", "test -z \"$(find \(root) -type p)\" -a -d \(root)/f/g/h")
    }

    @Test func `a mount point of the runtime's is a folder or is not there`() throws {
        let fixture = try StoreFixture()
        let root = fixture.folder + "/tree"
        let script = "mkdir -p \(root)/proc/dev \(root)/in; cd \(root); ln -s /tmp dev; echo x > sys; ln -s /tmp in/dev"
        try Command.run("sh", "-c", script)
        #expect(try ImageTree(root: root).clean(ImageReference("a")).nodes == 2)
        try Command.run("sh", "-c", "cd \(root) && test ! -L dev -a ! -e sys -a -d proc/dev -a -L in/dev")
    }

    /// What an image says must never lead to another folder, nor stand for one.
    @Test func `a tree that is a link is refused`() throws {
        let fixture = try StoreFixture()
        symlink("/etc", fixture.folder + "/tree")
        #expect(throws: ImageError.self) { try ImageTree(root: fixture.folder + "/tree").clean(ImageReference("a")) }
    }

    @Test(arguments: [
        ("user.a", true), ("security.capability", true), ("system.posix_acl_access", true), ("user.overlay.a", false),
        ("trusted.overlay.opaque", false), ("trusted.a", false), ("security.selinux", false), ("security.ima", false),
        ("system.other", false), ("", false),
    ])
    func `users' attributes are kept, and capabilities that no mount honours`(name: String, kept: Bool) {
        #expect(ImageTree.keeps(name) == kept)
    }
}

@Suite struct ConfinementTests {
    @Test(arguments: [false, true]) func `a program that unpacks ends before the server where memory runs out`(
        _ confined: Bool
    ) throws {
        let fixture = try StoreFixture()
        let tool = try Tool.find("cat", package: "coreutils")
        let outcome = try tool.run(
            ["/proc/self/oom_score_adj"], home: fixture.folder, milliseconds: 10_000, confined: confined)
        #expect(outcome.output == "1000\n", "\(outcome)")
    }

    @Test func `a confined program writes to its folder only, and opens no device in it`() throws {
        let fixture = try StoreFixture()
        let home = fixture.folder + "/home"
        mkdir(home, 0o700)
        let tool = try Tool.find("sh", package: "dash")
        let script = """
            echo mine > inside; mknod disk c 1 3; for place in \(fixture.folder)/outside /tmp/outside /etc/outside /run/outside; do
            (echo x > $place) 2>/dev/null && echo wrote $place; done; (: > disk) 2>/dev/null && echo opened
            ln /bin/sh linked 2>/dev/null && echo linked; rm -rf \(home) 2>/dev/null; echo x > /dev/null && echo done
            """
        let confined = try tool.run(["-c", "cd \(home); " + script], home: home, milliseconds: 10_000, confined: true)
        #expect(confined.output == "done\n" && confined.code == 0, "\(confined)")
        #expect(access(home, F_OK) == 0, "the folder is a mount to the program, and stays")
        // The control.
        let free = try tool.run(
            [
                "-c",
                "cd \(home); (echo x > \(fixture.folder)/outside) && echo wrote; mknod disk c 1 3; : > disk && echo opened",
            ],
            home: home, milliseconds: 10_000)
        #expect(free.output == "wrote\nopened\n", "\(free)")
    }
}
