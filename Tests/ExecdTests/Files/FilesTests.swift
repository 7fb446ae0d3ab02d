import CLinux
import FoundationEssentials
import System
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

@Suite(.serialized) struct LookingTests {
    @Test func `a file is told of by the path as it was asked for`() async throws {
        try await Scratch.run { execd, scratch async throws in
            chown(try scratch.file("a", "12345", mode: 0o640), 1_234_567, 0)
            let answer = try await execd.ask("GET", "/files/info?path=~/a&path=\(scratch.path)")
            let told = try JSONDecoder().decode([String: Told].self, from: Data(answer.body.utf8))
            let file = try #require(told["~/a"])
            #expect(file.path == "\(scratch.path)/a" && file.type == "file" && file.size == 5 && file.mode == 640)
            #expect(file.owner == "1234567" && file.group == "root")
            #expect(file.modified_at.hasSuffix("Z") && file.created_at.hasSuffix("Z"))
            #expect(told[scratch.path]?.type == "directory" && told.count == 2)
        }
    }

    @Test func `what is not there is 404, no path is 400`() async throws {
        try await Scratch.run { execd, scratch async throws in
            let missing = try await execd.ask("GET", "/files/info?path=~&path=~/none")
            #expect(missing.status == 404 && missing.code == "FILE_NOT_FOUND")
            for target in ["files/info", "directories/list", "files/search", "files/search?path="] {
                let answer = try await execd.ask("GET", "/" + target)
                #expect(answer.status == 400 && answer.code == "MISSING_QUERY", "\(target)")
            }
            for target in ["directories/list", "files/search"] {
                #expect(try await execd.ask("GET", "/\(target)?path=~/none").status == 404)
            }
        }
    }

    @Test func `a list has the entries in order, as deep as asked, and follows no link`() async throws {
        try await Scratch.run { execd, scratch async throws in
            mkdir("\(scratch.path)/b", 0o700)
            for name in ["c", "a", "b/z", "b/y"] { try scratch.file(name) }
            symlink("b", "\(scratch.path)/link")
            func list(_ query: String) async throws -> [String] {
                try execd.told(try await execd.ask("GET", "/directories/list?path=~" + query)).map {
                    "\($0.path.dropFirst(scratch.path.count + 1)) \($0.type)"
                }
            }
            #expect(try await list("") == ["a file", "b directory", "c file", "link symlink"])
            #expect(
                try await list("&depth=2")
                    == ["a file", "b directory", "b/y file", "b/z file", "c file", "link symlink"])
            #expect(try await list("&depth=0") == [])
            for query in ["~/link", "~/a", "~&depth=-1", "~&depth=x"] {
                #expect(try await execd.ask("GET", "/directories/list?path=" + query).status == 400, "\(query)")
            }
        }
    }

    @Test func `a search finds files by their names and goes through no link`() async throws {
        try await Scratch.run { execd, scratch async throws in
            mkdir("\(scratch.path)/sub.py", 0o700)
            for name in ["a.py", "b.txt", "sub.py/c.py"] { try scratch.file(name) }
            symlink("sub.py", "\(scratch.path)/link")
            func search(_ query: String) async throws -> [String] {
                try execd.told(try await execd.ask("GET", "/files/search?path=~" + query)).map {
                    String($0.path.dropFirst(scratch.path.count + 1))
                }
            }
            #expect(try await search("&pattern=*.py") == ["a.py", "sub.py/c.py"])
            #expect(try await search("") == ["a.py", "b.txt", "link", "sub.py/c.py"])
            #expect(try await execd.ask("GET", "/files/search?path=~&pattern=%5B").status == 400)
            #expect(try await execd.ask("GET", "/files/search?path=~/a.py").code == "INVALID_FILE")
        }
    }
}

@Suite struct KernelFolderTests {
    @Test func `a search stays out of proc unless it starts there`() async throws {
        try await Scratch.run { execd, scratch async throws in
            mkdir("\(scratch.path)/proc", 0o755)
            try scratch.file("status")
            try #require(linux_mount("proc", "\(scratch.path)/proc", "proc", 0, nil) == 0, "mounting needs root")
            defer { linux_unmount_detached("\(scratch.path)/proc") }
            let outside = try execd.told(try await execd.ask("GET", "/files/search?path=~&pattern=status"))
            #expect(outside.map(\.path) == ["\(scratch.path)/status"])
            let inside = try execd.told(try await execd.ask("GET", "/files/search?path=~/proc/1&pattern=status"))
            #expect(inside.contains { $0.path == "\(scratch.path)/proc/1/status" })
        }
    }
}

@Suite(.serialized) struct ChangeTests {
    @Test func `folders are made with their parents, and one that is there stays as it is`() async throws {
        try await Scratch.run { execd, scratch async throws in
            let body = #"{"~/a/b":{"mode":750,"owner":"1000","group":"1000"},"~":{"mode":700}}"#
            #expect(try await execd.ask("POST", "/directories", body).status == 200)
            let made = try scratch.status("a/b")
            #expect(made.st_mode & 0o7777 == 0o750 && made.st_uid == 1000)
            #expect(try scratch.status("").st_mode & 0o7777 == 0o755)
            try scratch.file("f")
            #expect(try await execd.ask("POST", "/directories", #"{"~/f/x/y":{"mode":755}}"#).code == "RUNTIME_ERROR")
            #expect(try await execd.ask("POST", "/directories", #"{"~/g":{"owner":"no-such-user"}}"#).status == 400)
            #expect(scratch.names == ["a", "f"])
        }
    }

    @Test func `folders are deleted with all that is in them, but nothing behind a link`() async throws {
        try await Scratch.run { execd, scratch async throws in
            #expect(try await execd.ask("POST", "/directories", #"{"~/a/b/c":{},"~/kept":{}}"#).status == 200)
            try scratch.file("a/b/f")
            try scratch.file("kept/f")
            symlink("../kept", "\(scratch.path)/a/link")
            #expect(try await execd.ask("DELETE", "/directories?path=~/a&path=~/none").status == 200)
            #expect(scratch.names == ["kept"] && scratch.content("kept/f") == "")
            #expect(try await execd.ask("DELETE", "/directories?path=~/kept/f").code == "RUNTIME_ERROR")
            #expect(try await execd.ask("DELETE", "/directories?path=/").status == 400)
            #expect(try await execd.ask("DELETE", "/directories").code == "MISSING_QUERY")
            #expect(scratch.content("kept/f") == "")
        }
    }

    @Test func `files are deleted, missing ones are no failure, folders are`() async throws {
        try await Scratch.run { execd, scratch async throws in
            for name in ["a", "b"] { try scratch.file(name) }
            mkdir("\(scratch.path)/folder", 0o755)
            #expect(try await execd.ask("DELETE", "/files?path=~/a&path=~/none&path=~/b").status == 200)
            let folder = try await execd.ask("DELETE", "/files?path=~/folder")
            #expect(folder.status == 500 && folder.code == "RUNTIME_ERROR" && scratch.names == ["folder"])
            #expect(try await execd.ask("DELETE", "/files").status == 400)
        }
    }

    @Test func `a move makes parents, replaces nothing and needs its source`() async throws {
        try await Scratch.run { execd, scratch async throws in
            for name in ["a", "b"] { try scratch.file(name, name) }
            #expect(try await execd.ask("POST", "/files/mv", #"[{"src":"~/a","dest":"~/x/y/a"}]"#).status == 200)
            #expect(scratch.content("x/y/a") == "a")
            let taken = try await execd.ask("POST", "/files/mv", #"[{"src":"~/x/y/a","dest":"~/b"}]"#)
            #expect(taken.status == 500 && taken.code == "RUNTIME_ERROR" && scratch.content("b") == "b")
            let missing = try await execd.ask("POST", "/files/mv", #"[{"src":"~/none","dest":"~/new/none"}]"#)
            #expect(missing.status == 404 && missing.code == "FILE_NOT_FOUND" && scratch.names == ["b", "x"])
        }
    }

    @Test func `mode and owner are set, or nothing is`() async throws {
        try await Scratch.run { execd, scratch async throws in
            for name in ["a", "b"] { try scratch.file(name) }
            let body = #"{"~/a":{"mode":4711,"owner":"1000","group":"root"}}"#
            #expect(try await execd.ask("POST", "/files/permissions", body).status == 200)
            let status = try scratch.status("a")
            #expect(status.st_mode & 0o7777 == 0o4711 && status.st_uid == 1000 && status.st_gid == 0)
            let bad = #"{"~/b":{"mode":600},"~/c":{"mode":600}}"#
            #expect(try await execd.ask("POST", "/files/permissions", bad).code == "FILE_NOT_FOUND")
            #expect(try await execd.ask("POST", "/files/permissions", #"{"~/b":{"mode":689}}"#).status == 400)
            #expect(try scratch.status("b").st_mode & 0o7777 == 0o644)
        }
    }

    @Test func `replacing tells its counts when asked and keeps mode and owner`() async throws {
        try await Scratch.run { execd, scratch async throws in
            chown(try scratch.file("a", "x.x.y", mode: 0o711), 1000, 1000)
            chmod("\(scratch.path)/a", 0o711)
            try scratch.file("b", "none")
            let body = #"{"~/a":{"old":"x","new":"zz"},"~/b":{"old":"x","new":"y"}}"#
            let verbose = try await execd.ask("POST", "/files/replace?verbose=true", body)
            #expect(verbose.body == #"{"~/a":{"replacedCount":2},"~/b":{"replacedCount":0}}"#)
            let status = try scratch.status("a")
            #expect(scratch.content("a") == "zz.zz.y" && status.st_mode & 0o7777 == 0o711 && status.st_uid == 1000)
            let silent = try await execd.ask("POST", "/files/replace?verbose=false", #"{"~/a":{"old":"zz","new":""}}"#)
            #expect(silent.status == 200 && silent.body.isEmpty && scratch.content("a") == "..y")
            #expect(try await execd.ask("POST", "/files/replace", #"{"~/a":{"old":"","new":"x"}}"#).status == 400)
            #expect(try await execd.ask("POST", "/files/replace", #"{"~/c":{"old":"a","new":"x"}}"#).status == 404)
            #expect(scratch.names == ["a", "b"])
        }
    }

    @Test(
        arguments: ["files/mv", "files/permissions", "files/replace", "directories"],
        ["", "{", "7", "[[]]", #"{"a":7}"#])
    func `a body that is not as expected is refused`(target: String, body: String) async throws {
        try await LiveExecd.run { execd async throws in
            let answer = try await execd.ask("POST", "/" + target, body)
            #expect(answer.status == 400 && answer.code == "INVALID_REQUEST_BODY", "\(answer.body)")
        }
    }
}

@Suite(.serialized) struct IdentityTests {
    private func run(_ body: @Sendable (LiveExecd, Scratch, String) async throws -> Void) async throws {
        try await Scratch.run { execd, scratch async throws in
            try #require(geteuid() == 0, "acting as another needs root")
            mkdir("\(scratch.path)/own", 0o755)
            chown("\(scratch.path)/own", 1000, 1000)
            try await body(execd, scratch, "/v1/filesystem/1000/1000")
        }
    }

    @Test func `what is written belongs to the identity`() async throws {
        try await run { execd, scratch, prefix async throws in
            let metadata = #"{"path":"\#(scratch.path)/own/new/a","mode":640,"owner":null,"group":null}"#
            #expect(try await execd.upload([(metadata, "x")], to: prefix + "/files/upload").status == 200)
            #expect(try await execd.ask("POST", prefix + "/directories", #"{"~/own/d":{"mode":700}}"#).status == 200)
            for name in ["own/new", "own/new/a", "own/d"] {
                let status = try scratch.status(name)
                #expect(status.st_uid == 1000 && status.st_gid == 1000, "\(name)")
            }
            #expect(try await execd.ask("GET", prefix + "/files/download?path=~/own/new/a").body == "x")
        }
    }

    @Test func `what the identity may not do is not done`() async throws {
        try await run { execd, scratch, prefix async throws in
            try scratch.file("secret", "s", mode: 0o600)
            let metadata = #"{"path":"\#(scratch.path)/a"}"#
            #expect(try await execd.upload([(metadata, "x")], to: prefix + "/files/upload").code == "RUNTIME_ERROR")
            let read = try await execd.ask("GET", prefix + "/files/download?path=~/secret")
            #expect(read.code == "RUNTIME_ERROR" && read.body.contains("Permission denied"))
            for (method, target, body) in [
                ("DELETE", "/files?path=~/secret", ""),
                ("POST", "/files/mv", #"[{"src":"~/secret","dest":"~/own/s"}]"#),
                ("POST", "/files/permissions", #"{"~/secret":{"mode":644}}"#), ("POST", "/directories", #"{"~/d":{}}"#),
                ("DELETE", "/directories?path=~/own", ""),
                ("POST", "/files/replace", #"{"~/secret":{"old":"s","new":"t"}}"#),
            ] {
                #expect(try await execd.ask(method, prefix + target, body).status == 500, "\(method) \(target)")
            }
            #expect(scratch.names == ["own", "secret"] && scratch.content("secret") == "s")
        }
    }

    @Test func `the groups of execd are not the identity's`() async throws {
        try await run { execd, scratch, prefix async throws in
            try scratch.file("group", "s", mode: 0o040)
            #expect(try await execd.ask("GET", prefix + "/files/download?path=~/group").status == 500)
            let member = try await execd.ask("GET", "/v1/filesystem/1000/0/files/download?path=~/group")
            #expect(member.status == 200 && member.body == "s")
        }
    }

    @Test func `afterwards every thread is execd's again`() async throws {
        try await run { execd, scratch, prefix async throws in
            try scratch.file("secret", "s", mode: 0o600)
            // More than the pool has threads, failing ones among them.
            for _ in 0..<20 {
                #expect(try await execd.ask("GET", prefix + "/files/download?path=~/secret").status == 500)
                #expect(try await execd.ask("GET", "/files/download?path=~/secret").status == 200)
            }
        }
    }

    @Test(arguments: ["/x/1", "/1/-1", "/4294967295/1", "/1/4294967296", "/%31%00/1"])
    func `ids that are none are refused`(path: String) async throws {
        try await LiveExecd.run { execd async throws in
            let answer = try await execd.ask("GET", "/v1/filesystem\(path)/files/info?path=/")
            #expect(answer.status == 400 && answer.code == "INVALID_REQUEST_BODY")
            #expect(try await execd.ask("GET", "/v1/filesystem/1/files/info?path=/").status == 404)
        }
    }
}
