import CLinux
import FoundationEssentials
import System
import TestSupport
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

@Suite(.serialized) struct DownloadTests {
    @Test func `a file comes whole`() async throws {
        try await Scratch.run { execd, scratch async throws in
            let answer = try await execd.ask("GET", "/files/download?path=\(try scratch.file("a b", "hello"))")
            #expect(answer.status == 400, "a blank ends the request line")
            let escaped = try await execd.ask("GET", "/files/download?path=\(scratch.path)/a%20b")
            #expect(escaped.status == 200 && escaped.body == "hello" && escaped.header("content-length") == "5")
            #expect(escaped.header("content-type") == "application/octet-stream")
            #expect(escaped.header("content-disposition") == "attachment; filename=\"a b\"")
            #expect(try await execd.ask("GET", "/files/download?path=~/a+b").body == "hello")
        }
    }

    @Test func `a large file comes whole, an empty one empty`() async throws {
        try await Scratch.run { execd, scratch async throws in
            let text = (0..<200_000).map { "line \($0)" }.joined(separator: "\n")
            let large = try await execd.ask("GET", "/files/download?path=\(try scratch.file("large", text))")
            #expect(large.body == text)
            let empty = try await execd.ask(
                "GET", "/files/download?path=\(try scratch.file("empty"))", headers: "Range: bytes=0-1\r\n")
            #expect(empty.status == 200 && empty.body.isEmpty && empty.header("content-length") == "0")
        }
    }

    @Test func `a range of any place and length comes as it is, and the connection goes on`() async throws {
        try await Scratch.run { execd, scratch async throws in
            let text = (0..<200_000).map { "\($0 % 10)" }.joined()
            let path = try scratch.file("many", String(repeating: text, count: 10))
            let ranges = [0..<1, 5..<1_999_999, 262_143..<262_145, 100_000..<400_001, 0..<2_000_000]
            let requests = ranges.map {
                "GET /files/download?path=\(path) HTTP/1.1\r\nHost: x\r\nRange: bytes=\($0.lowerBound)-\($0.upperBound - 1)\r\n"
            }
            var rest = try await RawClient(execd.address).exchange(
                requests.joined(separator: "\r\n") + "Connection: close\r\n\r\n")[...]
            for range in ranges {
                let head = try #require(rest.firstRange(of: "\r\n\r\n"))
                #expect(rest[..<head.lowerBound].contains("206") && rest[..<head.lowerBound].contains("\(range.count)"))
                let body = rest[head.upperBound...].utf8.prefix(range.count)
                #expect(body.elementsEqual(range.lazy.map { UInt8(ascii: "0") + UInt8($0 % 10) }), "\(range)")
                rest = rest[body.endIndex...]
            }
            #expect(rest.isEmpty)
        }
    }

    @Test func `a file that is cut while it is sent ends the connection, and nothing is made up`() async throws {
        try await Scratch.run { execd, scratch async throws in
            let path = try scratch.file("large"), size = 256 << 20
            try #require(truncate(path, size) == 0)
            let received = try await RawClient(execd.address).exchange(
                "GET /files/download?path=\(path) HTTP/1.1\r\nHost: x\r\n\r\n"
            ) { _ in
                _ = truncate(path, 1)
                return false
            }
            #expect(received.hasPrefix("HTTP/1.1 200") && received.contains("\(size)") && received.utf8.count < size)
        }
    }

    @Test func `a client that goes in the middle of a file leaves none open`() async throws {
        try await Scratch.run { execd, scratch async throws in
            let path = try scratch.file("large")
            try #require(truncate(path, 256 << 20) == 0)
            _ = try await RawClient(execd.address).exchange(
                "GET /files/download?path=\(path) HTTP/1.1\r\nHost: x\r\n\r\n"
            ) { !$0.isEmpty }
            #expect(
                try await eventually {
                    !(File.names(in: "/proc/self/fd") ?? []).contains {
                        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")) == path
                    }
                })
        }
    }

    @Test func `a file that does not tell its size comes whole, too`() async throws {
        try await LiveExecd.run { execd async throws in
            let answer = try await execd.ask("GET", "/files/download?path=/proc/self/status")
            #expect(answer.status == 200 && answer.body.hasPrefix("Name:"))
        }
    }

    @Test func `a range is 206 with its place, one outside is 416 with the size`() async throws {
        try await Scratch.run { execd, scratch async throws in
            let target = "/files/download?path=\(try scratch.file("a", "0123456789"))"
            let part = try await execd.ask("GET", target, headers: "Range: bytes=2-4\r\n")
            #expect(part.status == 206 && part.body == "234" && part.header("content-range") == "bytes 2-4/10")
            let outside = try await execd.ask("GET", target, headers: "Range: bytes=10-\r\n")
            #expect(outside.status == 416 && outside.code != nil && outside.header("content-range") == "bytes */10")
        }
    }

    @Test func `lines are counted from 1 and joined without a last break`() async throws {
        try await Scratch.run { execd, scratch async throws in
            let target = "/files/download?path=\(try scratch.file("a", "one\ntwo\n\nfour\n"))"
            let some = try await execd.ask("GET", target + "&offset=2&limit=2")
            #expect(
                some.status == 200 && some.body == "two\n"
                    && some.header("content-type")?.hasPrefix("text/plain") == true)
            #expect(try await execd.ask("GET", target + "&offset=2").body == "two\n\nfour")
            #expect(try await execd.ask("GET", target + "&limit=1").body == "one")
            let beyond = try await execd.ask("GET", target + "&offset=9")
            #expect(beyond.status == 200 && beyond.body.isEmpty)
            for query in ["&offset=0", "&limit=0", "&offset=x", "&limit=-1"] {
                #expect(try await execd.ask("GET", target + query).code == "INVALID_REQUEST_BODY")
            }
            let both = try await execd.ask("GET", target + "&limit=1", headers: "Range: bytes=0-1\r\n")
            #expect(both.status == 400)
        }
    }

    @Test func `what cannot be downloaded is told so`() async throws {
        try await Scratch.run { execd, scratch async throws in
            mkfifo("\(scratch.path)/fifo", 0o600)
            let none = try await execd.ask("GET", "/files/download")
            #expect(none.status == 400 && none.code == "MISSING_QUERY")
            let missing = try await execd.ask("GET", "/files/download?path=\(scratch.path)/missing")
            #expect(missing.status == 404 && missing.code == "FILE_NOT_FOUND")
            for path in [scratch.path, "\(scratch.path)/fifo"] {
                let answer = try await execd.ask("GET", "/files/download?path=\(path)")
                #expect(answer.status == 400 && answer.code == "INVALID_FILE")
            }
            #expect(try await execd.ask("GET", "/files/download?path=\(scratch.path)/missing&offset=1").status == 404)
        }
    }
}

@Suite(.serialized) struct UploadTests {
    @Test func `pairs are written by their order, with mode and missing parents`() async throws {
        try await Scratch.run { execd, scratch async throws in
            let long = (0..<20_000).map { "\($0)\r\n--" }.joined()
            let answer = try await execd.upload([
                (#"{"path":"\#(scratch.path)/new/deep/a","owner":null,"group":null,"mode":755}"#, long),
                (#"{"path":"~/b","mode":600,"owner":"1000","group":"1000"}"#, ""),
            ])
            #expect(answer.status == 200, "\(answer.body)")
            #expect(scratch.content("new/deep/a") == long && scratch.content("b") == "")
            #expect(try scratch.status("new/deep/a").st_mode & 0o7777 == 0o755)
            let second = try scratch.status("b")
            #expect(second.st_mode & 0o7777 == 0o600 && second.st_uid == 1000 && second.st_gid == 1000)
            #expect(scratch.names == ["b", "new"])
        }
    }

    @Test func `folders that are made for a file get its owner, and others stay as they are`() async throws {
        try await Scratch.run { execd, scratch async throws in
            func owners(_ name: String) throws -> [UInt32] {
                let status = try scratch.status(name)
                return [status.st_uid, status.st_gid]
            }
            mkdir(scratch.path + "/there", 0o755)
            let upload = try await execd.upload([
                (#"{"path":"~/there/new/deep/a","mode":600,"owner":"1000","group":"1001"}"#, "x"),
                (#"{"path":"~/plain/b","mode":600}"#, "x"), (#"{"path":"~/half/c","mode":600,"owner":"1000"}"#, "x"),
            ])
            #expect(upload.status == 200, "\(upload.body)")
            for name in ["there/new", "there/new/deep", "there/new/deep/a"] {
                #expect(try owners(name) == [1000, 1001], "\(name)")
            }
            #expect(try owners("there") == [0, 0] && owners("plain") == [0, 0] && owners("half") == [1000, 0])
            let move = #"[{"src":"~/there/new/deep/a","dest":"~/moved/far/a"}]"#
            #expect(try await execd.ask("POST", "/files/mv", move).status == 200)
            #expect(try owners("moved") == [1000, 1001] && owners("moved/far") == [1000, 1001])
            let folders = #"{"~/one/two":{"mode":700,"owner":"1000","group":"1001"}}"#
            #expect(try await execd.ask("POST", "/directories", folders).status == 200)
            #expect(try owners("one") == [1000, 1001] && owners("one/two") == [1000, 1001])
            #expect(try scratch.status("one").st_mode & 0o7777 == 0o755)
        }
    }

    @Test func `a form with a length is the same`() async throws {
        try await Scratch.run { execd, scratch async throws in
            let form = """
                --B\r\nContent-Disposition: form-data; name="metadata"; filename="metadata"\r\n\r\n\
                {"path":"\(scratch.path)/a"}\r\n--B\r\n\
                Content-Disposition: form-data; name="file"; filename="\(scratch.path)/a"\r\n\r\nx\r\n--B--\r\n
                """
            let answer = try await execd.ask(
                "POST", "/files/upload", form, headers: "Content-Type: multipart/form-data; boundary=\"B\"\r\n")
            #expect(answer.status == 200 && scratch.content("a") == "x")
            #expect(try scratch.status("a").st_mode & 0o7777 == 0o644)
        }
    }

    @Test func `a file that is replaced keeps its owner, and its mode unless one is given`() async throws {
        try await Scratch.run { execd, scratch async throws in
            let path = try scratch.file("a", "old", mode: 0o640)
            chown(path, 1000, 1000)
            symlink("a", "\(scratch.path)/link")
            #expect(try await execd.upload([(#"{"path":"\#(scratch.path)/link"}"#, "new")]).status == 200)
            let status = try scratch.status("a")
            #expect(scratch.content("a") == "new" && status.st_uid == 1000 && status.st_mode & 0o7777 == 0o640)
            #expect(try scratch.status("link").st_mode & S_IFMT == S_IFLNK)
        }
    }

    @Test(arguments: [
        ("--B\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--B--", "INVALID_FILE"),
        ("--B--", "INVALID_FILE"), ("--B\r\nbroken\r\n\r\n\r\n--B--", "INVALID_FILE"), ("", "INVALID_FILE_CONTENT"),
        (
            "--B\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n{\"path\":\"/tmp/x\"}\r\n--B--",
            "INVALID_FILE"
        ),
    ])
    func `a form without pairs is refused`(form: String, code: String) async throws {
        try await LiveExecd.run { execd async throws in
            let answer = try await execd.chunked(form, to: "/files/upload")
            #expect(answer.status == 400 && answer.code == code, "\(answer.body)")
        }
    }

    @Test(arguments: [
        "", "{", "[]", "{}", #"{"path":""}"#, #"{"path":7}"#, #"{"path":"HERE/a","mode":888}"#,
        #"{"path":"HERE/a","mode":"755"}"#, #"{"path":"HERE/a","owner":"no-such-user"}"#, #"{"path":"HERE/a\u0000"}"#,
    ])
    func `metadata that cannot be meant leaves nothing`(metadata: String) async throws {
        try await Scratch.run { execd, scratch async throws in
            let text = metadata.replacing("HERE", with: scratch.path)
            let answer = try await execd.upload([(#"{"path":"\#(scratch.path)/first/b"}"#, "x"), (text, "x")])
            #expect(answer.status == 400 && answer.code == "INVALID_FILE_METADATA", "\(answer.body)")
            #expect(scratch.names.isEmpty)
        }
    }

    @Test func `a body that is broken off leaves the old file and nothing else`() async throws {
        try await Scratch.run { execd, scratch async throws in
            try scratch.file("a", "old")
            let files = [
                (metadata: #"{"path":"\#(scratch.path)/a"}"#, content: "new"),
                (metadata: #"{"path":"\#(scratch.path)/sub/b"}"#, content: "new"),
            ]
            let answer = try await execd.upload(files, last: "")
            #expect(answer.status == 400 && answer.code == "INVALID_FILE_CONTENT")
            #expect(scratch.content("a") == "old" && scratch.names == ["a"])
        }
    }

    @Test func `a client that goes in the middle leaves nothing`() async throws {
        try await Scratch.run { execd, scratch async throws in
            let form = """
                --B\r\nContent-Disposition: form-data; name="metadata"; filename="m"\r\n\r\n{"path":"\(scratch.path)/a"}\r\n\
                --B\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nbegun
                """
            let client = Task {
                try await RawClient(execd.address).exchange(
                    "POST /files/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n"
                        + "Content-Type: multipart/form-data; boundary=B\r\n\r\n\(form)")
            }
            #expect(try await eventually { !scratch.names.isEmpty })
            client.cancel()
            _ = try? await client.value
            #expect(try await eventually { scratch.names.isEmpty })
        }
    }

    @Test func `a file that is mounted is written in place`() async throws {
        try await Scratch.run { execd, scratch async throws in
            let path = try scratch.file("hosts", "old and longer")
            let bind: UInt = 4096
            try #require(linux_mount(path, path, nil, bind, nil) == 0, "mounting needs root")
            defer { linux_unmount_detached(path) }
            let answer = try await execd.upload([(#"{"path":"\#(path)","mode":640,"owner":"1000"}"#, "new")])
            let status = try scratch.status("hosts")
            #expect(answer.status == 200 && scratch.content("hosts") == "new" && scratch.names == ["hosts"])
            #expect(status.st_mode & 0o7777 == 0o640 && status.st_uid == 1000)
        }
    }

    @Test func `a target that is no regular file is refused`() async throws {
        try await Scratch.run { execd, scratch async throws in
            mkdir("\(scratch.path)/folder", 0o755)
            let folder = try await execd.upload([(#"{"path":"\#(scratch.path)/folder"}"#, "x")])
            #expect(folder.status == 400 && folder.code == "INVALID_FILE")
            let device = try await execd.upload([(#"{"path":"/dev/null"}"#, "x")])
            #expect(device.status == 400 && device.code == "INVALID_FILE")
            try scratch.file("file", "x")
            let below = try await execd.upload([(#"{"path":"\#(scratch.path)/file/b"}"#, "x")])
            #expect(below.status == 500 && below.code == "RUNTIME_ERROR")
            #expect(scratch.names == ["file", "folder"] && scratch.content("file") == "x")
        }
    }

    @Test func `another content type is refused`() async throws {
        try await LiveExecd.run { execd async throws in
            let answer = try await execd.ask(
                "POST", "/files/upload", "{}", headers: "Content-Type: application/json\r\n")
            #expect(answer.status == 400 && answer.code == "INVALID_FILE")
        }
    }
}
