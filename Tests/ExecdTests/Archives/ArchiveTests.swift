import Foundation
import NIOCore
import System
import TestSupport
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

extension Scratch {
    /// Runs a shell command in the folder.
    func shell(_ command: String) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = ["-ec", command]
        process.currentDirectoryURL = URL(filePath: path)
        process.standardInput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(command)")
    }
}

/// Folders as archives (docs/execd.md#archives), against the system's tar.
@Suite(.serialized) struct ArchiveTests {
    private func save(_ answer: String, _ path: String) throws {
        // The parts of the answer are chunks; an archive of text survives being one.
        try Data(Answer(answer).body.utf8).write(to: URL(filePath: path))
    }

    @Test func `a folder comes out as an archive that tar unpacks, and goes in again`() async throws {
        try await Scratch.run { execd, scratch async throws in
            try scratch.shell(
                """
                mkdir -p from/sub/empty; echo one > from/a; seq 1 200000 > from/sub/large; ln -s ../a from/sub/link
                ln from/a from/again; chmod 750 from/sub; chmod 600 from/a; touch -d @1700000000 from/a from/sub
                mkfifo from/fifo; printf x > from/$(printf 'n%.0s' $(seq 150))
                """)
            let answer = try await execd.call("GET", "/directories/archive?path=~/from")
            #expect(answer.hasPrefix("HTTP/1.1 200") && answer.contains(#"filename="from.tar""#))
            try save(answer, scratch.path + "/out.tar")
            try scratch.shell("mkdir to; tar -xpf out.tar -C to; rm from/fifo; diff -r --no-dereference from to")
            #expect(try scratch.status("to/a").st_mtim.tv_sec == 1_700_000_000)
            #expect(try scratch.status("to/sub").st_mode & 0o7777 == 0o750)
            #expect(try scratch.status("to/a").st_ino == scratch.status("to/again").st_ino)

            let tar = try #require(scratch.content("out.tar"))
            let back = try await execd.ask("POST", "/directories/archive?path=~/new/back", tar)
            #expect(back.status == 200 && back.body == #"{"entries":7}"#, "\(back.body)")
            try scratch.shell("diff -r --no-dereference from new/back")
            #expect(try scratch.status("new/back/sub").st_mode & 0o7777 == 0o750)
            #expect(try scratch.status("new/back/a").st_mtim.tv_sec == 1_700_000_000)
            #expect(try scratch.status("new/back/a").st_ino == scratch.status("new/back/again").st_ino)
            #expect(scratch.names == ["from", "new", "out.tar", "to"])
        }
    }

    @Test(arguments: ["ustar", "gnu", "pax", "v7"])
    func `archives of tar's formats go in`(format: String) async throws {
        try await Scratch.run { execd, scratch async throws in
            let deep = (0..<8).map { "folder\($0)" }.joined(separator: "/")
            let long = format == "v7" ? deep : deep + "/" + String(repeating: "n", count: 90)
            try scratch.shell(
                "mkdir -p from/\(deep); echo x > from/\(long)x; echo y > from/y; ln -s y from/z; tar --format=\(format) -cf in.tar -C from ."
            )
            let answer = try await execd.ask(
                "POST", "/directories/archive?path=~/to", try #require(scratch.content("in.tar")))
            #expect(answer.status == 200, "\(answer.body)")
            try scratch.shell("diff -r --no-dereference from to")
        }
    }

    @Test func `an archive joins what is there: files are replaced, the rest stays`() async throws {
        try await Scratch.run { execd, scratch async throws in
            try scratch.shell(
                "mkdir -p to/sub; echo old > to/a; echo mine > to/sub/b; chmod 700 to/sub; ln -s /etc/passwd to/l")
            let tar = archive([
                (TarEntry(name: "a", kind: .file), "new"), (TarEntry(name: "sub/", kind: .folder, mode: 0o777), ""),
                (TarEntry(name: "sub/c", kind: .file), "c"), (TarEntry(name: "l", kind: .file), "file"),
            ])
            let answer = try await execd.ask(
                "POST", "/directories/archive?path=~/to", String(decoding: tar, as: UTF8.self))
            #expect(answer.status == 200, "\(answer.body)")
            #expect(scratch.content("to/a") == "new" && scratch.content("to/sub/b") == "mine\n")
            #expect(scratch.content("to/sub/c") == "c" && scratch.content("to/l") == "file")
            #expect(try scratch.status("to/sub").st_mode & 0o7777 == 0o700, "a folder that is there stays as it is")
            #expect(File.text("/etc/passwd")?.hasPrefix("file") == false, "a link is replaced, not written through")
        }
    }

    /// Each of them changes nothing at all.
    @Test func `hostile archives are refused whole`() async throws {
        @Sendable func file(_ name: String) -> (TarEntry, String) { (TarEntry(name: name, kind: .file), "evil") }
        func link(_ name: String, _ target: String) -> (TarEntry, String) {
            (TarEntry(name: name, kind: .symbolicLink(target)), "")
        }
        func hard(_ name: String, _ target: String) -> (TarEntry, String) {
            (TarEntry(name: name, kind: .hardLink(target)), "")
        }
        let hostile: [[(TarEntry, String)]] = [
            [file("/tmp/spt-evil")], [file("../evil")], [file("a/../../evil")],
            [link("l", "/tmp"), file("l/spt-evil")], [link("l", "..")], [link("l", "."), file("l/x"), file("x")],
            [link("l", "a/../.."), file("l/evil")], [hard("h", "/etc/passwd")], [hard("h", "../outside")],
            [hard("h", "kept")], [link("l", "a"), hard("h", "l")], [file("a"), file("a/b")],
            [file("a/b"), file("a")], [(TarEntry(name: "", kind: .file), "x")],
            [file("there")], [file("kept/x")],
        ]
        for entries in hostile {
            try await Scratch.run { execd, scratch async throws in
                try scratch.shell("mkdir -p to/there; echo kept > to/kept; echo outside > outside")
                let tar = archive([file("first")] + entries)
                let answer = try await execd.ask(
                    "POST", "/directories/archive?path=~/to", String(decoding: tar, as: UTF8.self))
                #expect(answer.status == 400 && answer.code != nil, "\(entries): \(answer.status) \(answer.body)")
                try scratch.shell(
                    "test \"$(find . | sort | tr '\\n' ' ')\" = '. ./outside ./to ./to/kept ./to/there '; grep -qx kept to/kept"
                )
                #expect(access("/tmp/spt-evil", F_OK) != 0)
            }
        }
    }

    /// Each is found before anything is moved. The first command puts it there, the second takes it away.
    @Test(arguments: [
        ("touch to/in/fixed; mount --bind outside to/in/fixed", "umount to/in/fixed"),
        ("mkdir to/in/sub; mount --bind other to/in/sub", "umount to/in/sub"),
        ("mkdir to/in/sub; mount -t tmpfs none to/in/sub", "umount to/in/sub"),
        ("mount --bind to/in to/in; mount -o remount,bind,ro to/in", "umount to/in"),
        ("touch to/in/fixed; chattr +i to/in/fixed", "chattr -i to/in/fixed"),
        ("touch to/in/fixed; chattr +a to/in", "chattr -a to/in"), ("chattr +i to/in", "chattr -i to/in"),
        ("mkdir to/in/sub; chattr +i to/in/sub", "chattr -i to/in/sub"),
    ])
    func `what is mounted, protected or read-only is in the way of all of an archive`(put: String, take: String)
        async throws
    {
        try await Scratch.run { execd, scratch async throws in
            try scratch.shell("mkdir -p to/in other; echo outside > outside; echo old > to/a; \(put)")
            defer { try? scratch.shell(take) }
            let tar = archive([
                (TarEntry(name: "a", kind: .file), "new"), (TarEntry(name: "b", kind: .file), "b"),
                (TarEntry(name: "in/fixed", kind: .file), "x"), (TarEntry(name: "in/sub/x", kind: .file), "x"),
            ])
            let answer = try await execd.ask(
                "POST", "/directories/archive?path=~/to", String(decoding: tar, as: UTF8.self))
            #expect(answer.status >= 400 && answer.code != nil, "\(answer.body)")
            #expect(scratch.content("to/a") == "old\n" && scratch.content("outside") == "outside\n")
            try scratch.shell("test -z \"$(find to -name b -o -name x -o -name '.execd*')\"")
        }
    }

    @Test func `who may not write to a folder replaces nothing, and gets folders in that cannot be written to`()
        async throws
    {
        try #require(geteuid() == 0, "acting as another needs root")
        try await Scratch.run { execd, scratch async throws in
            try scratch.shell("chmod 755 .; mkdir -p to/closed to/sticky; echo old > to/a; echo old > to/sticky/x")
            try scratch.shell("chmod 1777 to/sticky; chown 1000:1000 to to/a")
            func send(_ entries: [(TarEntry, String)]) async throws -> Answer {
                try await execd.ask(
                    "POST", "/v1/filesystem/1000/1000/directories/archive?path=~/to",
                    String(decoding: archive(entries), as: UTF8.self))
            }
            let new = (TarEntry(name: "a", kind: .file), "new")
            for name in ["closed/x", "sticky/x"] {
                #expect(try await send([new, (TarEntry(name: name, kind: .file), "x")]).status >= 400, "\(name)")
                #expect(scratch.content("to/a") == "old\n")
            }
            let folders = [
                (TarEntry(name: "read/", kind: .folder, mode: 0o555), ""),
                (TarEntry(name: "read/only/", kind: .folder, mode: 0o500), ""),
            ]
            let answer = try await send([new] + folders + [(TarEntry(name: "read/only/x", kind: .file), "x")])
            #expect(answer.status == 200, "\(answer.body)")
            #expect(scratch.content("to/read/only/x") == "x" && scratch.content("to/a") == "new")
            #expect(try scratch.status("to/read").st_mode & 0o7777 == 0o555)
            #expect(try scratch.status("to/read/only").st_mode & 0o7777 == 0o500)
        }
    }

    @Test func `bits that lend rights are left out, and links that lead out are kept if that is asked for`()
        async throws
    {
        try await Scratch.run { execd, scratch async throws in
            let tar = archive([
                (TarEntry(name: "suid", kind: .file, mode: 0o6755), "x"),
                (TarEntry(name: "folder/", kind: .folder, mode: 0o7777), ""),
                (TarEntry(name: "python", kind: .symbolicLink("/usr/bin/python3")), ""),
            ])
            let text = String(decoding: tar, as: UTF8.self)
            #expect(try await execd.ask("POST", "/directories/archive?path=~/to", text).code == "INVALID_FILE_CONTENT")
            #expect(scratch.names.isEmpty)
            #expect(try await execd.ask("POST", "/directories/archive?path=~/to&links=keep", text).status == 200)
            #expect(try scratch.status("to/suid").st_mode & 0o7777 == 0o755)
            #expect(try scratch.status("to/folder").st_mode & 0o7777 == 0o1777)
            #expect(try scratch.status("to/suid").st_uid == geteuid(), "owners are not kept unless that is asked for")
            try scratch.shell("test \"$(readlink to/python)\" = /usr/bin/python3")
        }
    }

    @Test func `bad requests are told so, and a broken upload leaves nothing`() async throws {
        try await Scratch.run { execd, scratch async throws in
            try scratch.file("file")
            #expect(try await execd.ask("GET", "/directories/archive").code == "MISSING_QUERY")
            #expect(try await execd.ask("GET", "/directories/archive?path=~/none").status == 404)
            #expect(try await execd.ask("GET", "/directories/archive?path=~/file").code == "INVALID_FILE")
            #expect(try await execd.ask("POST", "/directories/archive?path=~/file", "").status == 400)
            #expect(try await execd.ask("POST", "/directories/archive?path=~/to&links=all", "").status == 400)
            let whole = archive([(TarEntry(name: "a", kind: .file), "x")])
            for body in ["", "no archive", String(decoding: whole.dropLast(600), as: UTF8.self)] {
                let answer = try await execd.ask("POST", "/directories/archive?path=~/made/to", body)
                #expect(answer.status == 400 && answer.code == "INVALID_FILE_CONTENT", "\(answer.body)")
            }
            let text = String(decoding: whole, as: UTF8.self)
            try await RawClient(execd.address).leave(
                after:
                    "POST /directories/archive?path=~/to HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n\(text)")
            #expect(try await eventually { scratch.names == ["file"] })
        }
    }
}
