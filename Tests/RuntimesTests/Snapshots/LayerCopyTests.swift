import Glibc
import System
import TestSupport
import Testing

@testable import Runtimes

/// Copies of folders that a sandbox could have left.
@Suite struct LayerCopyTests {
    /// A folder of the test's, with a layer that a script makes.
    private final class Layers {
        let folder = "/tmp/spt-layers-\(UInt32.random(in: 0 ... .max))"
        let target: LayerTarget

        init() {
            mkdir(folder, 0o700)
            mkdir(folder + "/target", 0o700)
            target = LayerTarget(folder: folder + "/target", reserve: DiskReserve(folder: folder, bytes: 0))
        }

        deinit { try? TreeRemoval.remove(folder) }

        func layer(_ name: String, _ script: String) throws -> String {
            try Command.run("sh", "-ec", "mkdir \(folder)/\(name); cd \(folder)/\(name); \(script)")
            return folder + "/" + name
        }

        func copy(
            _ layer: String, _ attributes: LayerAttributes = LayerAttributes(), excluded: Set<TreePath> = [],
            joins: Bool = false
        ) throws {
            try LayerCopy(layer, to: target, attributes, excluded: excluded, joins: joins).run()
        }

        func check(_ script: String) throws { try Command.run("sh", "-ec", "cd \(target.files); \(script)") }
    }

    @Test func `files, links, times, rights and holes are what they were, and owners those inside`() throws {
        let layers = Layers()
        let layer = try layers.layer(
            "upper",
            """
            mkdir -p d/e; echo one > d/file; ln d/file d/e/second; ln d/file third
            chown 2013266820:2013266821 d/file; chmod 6755 d/file; chown 2013266820 d; chmod 1777 d/e
            ln -s /etc/shadow out; chown -h 2013266820 out; ln -s .. d/up; mkfifo -m 620 pipe
            truncate -s 100M holes; printf x | dd of=holes bs=1 seek=50000000 conv=notrunc status=none
            touch -h -d '2001-02-03 04:05:06.789 UTC' out pipe d/file; touch -d '2001-02-03 04:05:06.789 UTC' d/e d
            printf x > "$(printf 'latin1-\\351')"; printf x > "$(printf 'line\\nbreak')"
            """)
        try layers.copy(layer, LayerAttributes(users: IdentifierRange(first: 2_013_265_920)))
        try layers.check(
            """
            test "$(stat -c %a-%u-%g-%h-%Y d/file)" = 6755-900-901-3-981173106
            test d/file -ef d/e/second -a d/file -ef third
            test "$(stat -c %u-%Y d)" = 900-981173106 -a "$(stat -c %a-%u-%Y d/e)" = 1777-65534-981173106
            test "$(readlink out)" = /etc/shadow -a "$(stat -c %u-%Y out)" = 900-981173106 -a "$(readlink d/up)" = ..
            test -p pipe -a "$(stat -c %a-%Y pipe)" = 620-981173106
            test "$(stat -c %s holes)" = 104857600 -a "$(du -k holes | cut -f1)" -lt 1024
            test "$(tail -c +50000001 holes | head -c 1)" = x
            test "$(cat "$(printf 'latin1-\\351')")" = x -a "$(cat "$(printf 'line\\nbreak')")" = x
            test "$(ls -A .. | tr '\\n' ' ')" = 'files '
            """)
    }

    @Test func `what overlayfs hides stays hidden, and nothing else that it would obey is kept`() throws {
        let layers = Layers()
        let layer = try layers.layer(
            "upper",
            """
            mkdir -p gone/kept plain; mknod plain/hidden c 0 0; mknod plain/null c 1 3; mknod plain/disk b 7 7; echo x > plain/file
            python3 - <<'END'
            import os, socket
            socket.socket(socket.AF_UNIX).bind("plain/socket")
            for name in ("trusted.overlay.opaque", "trusted.overlay.origin", "user.note"): os.setxattr("gone", name, b"y")
            for name in ("redirect", "metacopy", "opaque", "whiteout", "nlink", "upper", "protattr"):
                for space in ("trusted.overlay.", "user.overlay."): os.setxattr("plain/file", space + name, b"/etc/shadow")
            os.setxattr("plain", "trusted.overlay.redirect", b"/etc"); os.setxattr("plain/file", "user.note", b"y" * 3000)
            os.setxattr("plain/file", "security.capability", b"\\1\\0\\0\\2\\0\\4" + bytes(14))
            END
            """)
        try layers.copy(layer)
        try layers.check(
            """
            test "$(stat -c %F-%t-%T plain/hidden)" = 'character special file-0-0'
            test "$(ls plain | tr '\\n' ' ')" = 'file hidden '
            python3 - <<'END'
            import os
            assert sorted(os.listxattr("gone")) == ["trusted.overlay.opaque", "user.note"], os.listxattr("gone")
            assert os.listxattr("plain") == [], os.listxattr("plain")
            assert sorted(os.listxattr("plain/file")) == ["security.capability", "user.note"], os.listxattr("plain/file")
            assert os.getxattr("plain/file", "user.note") == b"y" * 3000
            END
            """)
    }

    @Test func `a default ACL is for what comes later, and changes nothing that was there before it`() throws {
        let layers = Layers()
        // Access for user 7 by default, as setfacl -d -m u:7:rwx writes it; its entries are older.
        let layer = try layers.layer(
            "upper",
            """
            mkdir -p folder/inner; echo x > folder/file; chmod 640 folder/file
            python3 - <<'END'
            import os, struct
            entries = [(1, 7, 0xffffffff), (2, 7, 7), (4, 5, 0xffffffff), (16, 7, 0xffffffff), (32, 0, 0xffffffff)]
            acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
            os.setxattr("folder", "system.posix_acl_default", acl)
            END
            """)
        try layers.copy(layer)
        try layers.check(
            """
            python3 - <<'END'
            import os
            assert os.listxattr("folder") == ["system.posix_acl_default"], os.listxattr("folder")
            for name in ("folder/file", "folder/inner"): assert os.listxattr(name) == [], (name, os.listxattr(name))
            assert os.stat("folder/file").st_mode & 0o777 == 0o640
            END
            """)
    }

    @Test func `our own files stay behind, whatever the sandbox has made of them`() throws {
        let layers = Layers()
        let layer = try layers.layer(
            "upper",
            """
            mkdir -p etc/deep opt/opensandbox/deep var/lib/execd/isolation dev; echo x > etc/passwd; ln -s /etc/shadow etc/hosts
            mknod etc/resolv.conf c 0 0; mkdir etc/hostname; echo x > opt/opensandbox/execd; echo x > opt/mine; ln -s /tmp proc
            """)
        try layers.copy(layer, excluded: SandboxFolder.ownFiles)
        try layers.check(
            "test \"$(find . | sort | tr '\\n' ' ')\" = '. ./etc ./etc/deep ./etc/passwd ./opt ./opt/mine ./var ./var/lib ./var/lib/execd '"
        )
    }

    @Test func `layers that are joined hide what each of them hid`() throws {
        let layers = Layers()
        let lower = try layers.layer(
            "lower",
            """
            mkdir -p a/b c d e/f; echo 1 > a/one; echo 1 > a/b/one; echo 1 > c/one; echo 1 > d/one; echo 1 > file; echo 1 > e/f/one
            mknod hidden c 0 0; ln -s /tmp link; ln file linked
            python3 -c 'import os; os.setxattr("d", "trusted.overlay.opaque", b"y"); os.setxattr("a", "user.old", b"y")'
            """)
        let upper = try layers.layer(
            "upper",
            """
            mkdir -p a c d file hidden link; echo 2 > a/two; mknod a/one c 0 0; echo 2 > c/two; echo 2 > d/two; echo 2 > link/two
            echo 2 > linked; mknod e c 0 0; python3 -c 'import os; os.setxattr("c", "trusted.overlay.opaque", b"y")'
            """)
        try layers.copy(lower, joins: true)
        try layers.copy(upper, joins: true)
        try layers.check(
            """
            test -c a/one -a "$(cat a/two)" = 2 -a "$(cat a/b/one)" = 1
            test ! -e c/one -a "$(cat c/two)" = 2 -a "$(cat d/one)" = 1 -a "$(cat d/two)" = 2 -a -c e -a "$(cat linked)" = 2
            test -d link -a "$(cat link/two)" = 2 -a ! -e /tmp/two
            python3 - <<'END'
            import os
            opaque = {name for name in os.listdir() if "trusted.overlay.opaque" in os.listxattr(name, follow_symlinks=False)}
            assert opaque == {"c", "d", "file", "hidden", "link"}, opaque
            assert os.listxattr("a") == [], os.listxattr("a")
            END
            """)
    }

    @Test func `folders may be nested as deep as a path can name, and not deeper`() throws {
        let layers = Layers()
        let deep = try layers.layer(
            "deep",
            "python3 -c 'import os\nfor _ in range(2000): os.mkdir(\"d\"); os.chdir(\"d\")\nopen(\"end\", \"w\")'")
        try layers.copy(deep)
        try layers.check(
            "python3 -c 'import os\nfor _ in range(2000): os.chdir(\"d\")\nassert os.path.exists(\"end\")'")
        let other = Layers()
        let tooDeep = try other.layer(
            "deep", "python3 -c 'import os\nfor _ in range(3000): os.mkdir(\"d\"); os.chdir(\"d\")'")
        let error = #expect(throws: RuntimeError.self) { try other.copy(tooDeep) }
        #expect(error.map { "\($0)".contains("too long") } == true, "\(String(describing: error))")
    }

    @Test func `many folders beside each other are all copied`() throws {
        let layers = Layers()
        let layer = try layers.layer(
            "wide", "seq 3000 | sed 's/$/\\/in/' | xargs mkdir -p; touch 1/in/file 3000/in/file")
        try layers.copy(layer)
        try layers.check("test \"$(find . | wc -l)\" = 6003 -a -e 1/in/file -a -e 3000/in/file")
    }

    @Test func `it is given up where the disk would be nearly full`() throws {
        let layers = Layers()
        let layer = try layers.layer("upper", "head -c 60M /dev/zero > big")
        // Two chunks of 16 MiB leave less than a tenth of it.
        try Command.run("mount", "-t", "tmpfs", "-o", "size=34M", "none", layers.target.folder)
        defer { try? Command.run("umount", "-l", layers.target.folder) }
        let place = LayerTarget(
            folder: layers.target.folder, reserve: DiskReserve(folder: layers.target.folder, bytes: .max))
        let error = #expect(throws: RuntimeError.self) { try LayerCopy(layer, to: place, LayerAttributes()).run() }
        #expect(error?.kind == .capacity, "\(String(describing: error))")
    }

    @Test func `it is given up when nobody wants it any more`() throws {
        let layers = Layers()
        let layer = try layers.layer("upper", "seq 400 | xargs touch")
        layers.target.isCalledOff.give()
        #expect(throws: RuntimeError.cancelled) { try layers.copy(layer) }
    }

    @Test func `a layer that is a link is refused`() throws {
        let layers = Layers()
        symlink("/etc", layers.folder + "/upper")
        #expect(throws: RuntimeError.self) { try layers.copy(layers.folder + "/upper") }
    }
}
