import Foundation
import NIOCore
import Spelling
import System
import TestSupport
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

extension LiveExecd {
    /// Starts a command in the background; its id.
    func begin(_ body: String) async throws -> String { texts("init", try await events(body)) }

    func hasEnded(_ id: String) async throws -> Bool {
        try await eventually { try await call("GET", "/command/status/\(id)").contains(#""running":false"#) }
    }

    func log(_ id: String) async throws -> String { try await ask("GET", "/command/\(id)/logs").body }
}

/// The standard input of commands (docs/execd.md#the-input-of-commands).
@Suite(.serialized) struct InputTests {
    @Test func `a command reads what the request has, and then the end`() async throws {
        try await LiveExecd.run { execd async throws in
            let events = try await execd.events(#"{"command":"cat; echo end","stdin":"one\ntwo\n"}"#)
            #expect(execd.texts("stdout", events) == "one\ntwo\nend")
            #expect(execd.texts("stdout", try await execd.events(#"{"argv":["cat"],"stdin":""}"#)) == "")
            let none = try await execd.events(#"{"command":"readlink /proc/self/fd/0"}"#)
            #expect(execd.texts("stdout", none) == "/dev/null", "without one it has none")
        }
    }

    @Test func `a command that runs as another may open its own pipes again`() async throws {
        try #require(geteuid() == 0, "acting as another needs root")
        try await LiveExecd.run { execd async throws in
            let command = "cat /dev/stdin > /dev/stdout; echo bad > /dev/stderr; stat -Lc %u /proc/self/fd/1"
            let events = try await execd.events(#"{"command":"\#(command)","stdin":"in\n","uid":1000,"gid":1000}"#)
            #expect(execd.texts("stdout", events) == "in\n1000" && execd.texts("stderr", events) == "bad", "\(events)")
        }
    }

    @Test func `input is added until its end is said`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.begin(
                #"{"command":"sort; echo sorted","stdin":"c\n","stdin_open":true,"background":true}"#)
            let first = try await execd.ask("POST", "/command/\(id)/stdin", "b\n")
            #expect(first.status == 200 && first.body == #"{"written":2}"#)
            #expect(try await execd.ask("POST", "/command/\(id)/stdin?end=true", "a\n").status == 200)
            #expect(try await execd.hasEnded(id))
            #expect(try await execd.log(id) == "a\nb\nc\nsorted\n")
            let late = try await execd.ask("POST", "/command/\(id)/stdin", "d\n")
            #expect(late.status == 409 && late.code == "STDIN_CLOSED")
        }
    }

    @Test func `any bytes pass, and many of them`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.begin(#"{"command":"wc -c","stdin_open":true,"background":true}"#)
            let line = String(repeating: "0123456789\u{0}é", count: 40_000)
            #expect(try await execd.ask("POST", "/command/\(id)/stdin", line).status == 200)
            #expect(try await execd.ask("POST", "/command/\(id)/stdin?end=true", line).status == 200)
            #expect(try await execd.hasEnded(id))
            #expect(try await execd.log(id) == "\(line.utf8.count * 2)\n")
        }
    }

    @Test func `a command that does not read holds up nobody but who writes to it`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.begin(#"{"argv":["sleep","1000"],"stdin_open":true,"background":true}"#)
            let other = try await execd.begin(#"{"argv":["cat"],"stdin_open":true,"background":true}"#)
            // Of a pipe, of what may wait, and of one part of a body.
            async let much = execd.ask("POST", "/command/\(id)/stdin", String(repeating: "x", count: 4 << 20))
            for _ in 0..<20 { #expect(try await execd.ask("POST", "/command/\(other)/stdin", "y").status == 200) }
            #expect(try await execd.ask("POST", "/command/\(other)/stdin?end=true").status == 200)
            #expect(try await execd.hasEnded(other))
            #expect(try await execd.log(other) == String(repeating: "y", count: 20))
            #expect(try await execd.ask("DELETE", "/command?id=\(id)").status == 200)
            let answer = try await much
            #expect(answer.status == 409 && answer.body.contains("it has been given"), "\(answer.body)")
        }
    }

    @Test func `a command that closes its input goes on, and its writer is told`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.begin(
                #"{"command":"exec <&-; echo closed; read x </dev/null; sleep 1000","stdin_open":true,"background":true}"#
            )
            #expect(try await eventually { try await execd.log(id) == "closed\n" })
            let refused = try await eventually {
                try await execd.ask("POST", "/command/\(id)/stdin", "x").status == 409
            }
            #expect(refused)
            #expect(try await execd.call("GET", "/command/status/\(id)").contains(#""running":true"#))
            #expect(try await execd.ask("DELETE", "/command?id=\(id)").status == 200)
        }
    }

    @Test func `bad requests are told so`() async throws {
        try await LiveExecd.run { execd async throws in
            #expect(try await execd.ask("POST", "/command/none/stdin", "x").code == "CONTEXT_NOT_FOUND")
            let id = try await execd.begin(#"{"command":"sleep 1000","background":true}"#)
            let closed = try await execd.ask("POST", "/command/\(id)/stdin", "x")
            #expect(closed.status == 409 && closed.code == "STDIN_CLOSED")
            #expect(try await execd.ask("POST", "/command/\(id)/stdin?end=yes").status == 400)
            #expect(try await execd.ask("GET", "/command?running=perhaps").status == 400)
            let long = String(repeating: "x", count: CommandRequest.maxInput + 1)
            let answer = try await execd.ask("POST", "/command", #"{"command":"cat","stdin":"\#(long)"}"#)
            #expect(answer.status == 400 && answer.body.contains("stdin_open"))
            #expect(try await execd.ask("DELETE", "/command?id=\(id)").status == 200)
        }
    }
}

@Suite(.serialized) struct CommandListTests {
    private struct Listed: Decodable { var id: String, content: String, running: Bool, exit_code: Int? }

    @Test func `commands are listed in their order, and by whether they run`() async throws {
        try await LiveExecd.run { execd async throws in
            func list(_ query: String = "") async throws -> [Listed] {
                let answer = try await execd.ask("GET", "/command\(query)")
                return try JSONDecoder().decode([Listed].self, from: Data(answer.body.utf8))
            }
            #expect(try await list().isEmpty)
            _ = try await execd.events(#"{"command":"exit 3"}"#)
            let id = try await execd.begin(#"{"command":"sleep 1000","background":true}"#)
            let all = try await list()
            #expect(all.map(\.content) == ["exit 3", "sleep 1000"] && all.map(\.running) == [false, true])
            #expect(all.map(\.exit_code) == [3, nil])
            #expect(try await list("?running=true").map(\.id) == [id])
            #expect(try await list("?running=false").map(\.content) == ["exit 3"])
            #expect(try await execd.ask("DELETE", "/command?id=\(id)").status == 200)
        }
    }

    @Test func `a thousand commands run at once, each with its own input and output`() async throws {
        OpenFiles.raise()
        let runner = CommandRunner(environment: CommandEnvironment(["PATH": ProcessSpec.defaultPath], shell: "/bin/sh"))
        var request = CommandRequest(argv: ["cat"])
        (request.stdin_open, request.background) = (true, true)
        var records: [CommandRecord] = []
        for _ in 0..<1000 { records.append(runner.start(request).record) }
        #expect(
            records.allSatisfy { $0.current.finishedAt == nil }, "\(records.compactMap(\.current.failure).prefix(1))")
        for (number, record) in records.enumerated() {
            #expect(await record.input?.write(Array("\(number)\n".utf8)) == true)
        }
        for record in records { #expect(record.input?.end() == true) }
        #expect(try await eventually { records.allSatisfy { $0.current.exit == .exited(0) } })
        for (number, record) in records.enumerated() {
            #expect(record.log?.read(0..<Int.max, upTo: .max).bytes == Array("\(number)\n".utf8))
        }
    }
}
