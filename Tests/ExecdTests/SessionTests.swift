import FoundationEssentials
import Spelling
import Synchronization
import System
import TestSupport
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

extension LiveExecd {
    func session(_ body: String = "") async throws -> String {
        struct Created: Decodable { var session_id: String }
        let answer = try await ask("POST", "/session", body, headers: "Content-Type: application/json\r\n")
        return try JSONDecoder().decode(Created.self, from: Data(answer.body.utf8)).session_id
    }

    /// The events of a run, each as its JSON. The command must need no escaping but for quotes and line breaks.
    func run(_ session: String, _ command: String, _ more: String = "") async throws -> [String] {
        let text = command.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
        return events(of: try await call("POST", "/session/\(session)/run", #"{"command":"\#(text)"\#(more)}"#))
    }

    func output(_ session: String, _ command: String, _ more: String = "") async throws -> String {
        texts("stdout", try await run(session, command, more))
    }

    /// The exit code as clients infer it.
    func code(_ events: [String]) -> String? {
        guard let last = events.last else { return nil }
        if last.contains("execution_complete") { return "0" }
        return last.split(separator: #""evalue":""#).dropFirst().first.map { String($0.prefix { $0 != "\"" }) }
    }
}

@Suite(.serialized) struct SessionTests {
    @Test func `folder, variables and functions stay from run to run`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.session()
            let events = try await execd.run(
                id, "cd /tmp; export A=1; b='x y'; f() { echo \"f $1\"; }; set -- p q; echo done")
            #expect(events.first?.contains(#""type":"init""#) == true && execd.code(events) == "0")
            #expect(execd.texts("stdout", events) == "done")
            #expect(try await execd.output(id, "pwd; printenv A; echo \"$b\"; f 7; echo $2") == "/tmp\n1\nx y\nf 7\nq")
        }
    }

    @Test func `sessions know nothing of each other, and start where they are told to`() async throws {
        try await LiveExecd.run(environment: ["HOME": "/usr"]) { execd async throws in
            let first = try await execd.session(#"{"cwd":"/usr/bin"}"#),
                second = try await execd.session(#"{"cwd":"~"}"#)
            #expect(try await execd.output(first, "pwd; A=1") == "/usr/bin")
            #expect(try await execd.output(second, "pwd; echo ${A-none}") == "/usr\nnone")
            #expect(try await execd.output(second, "pwd", #","cwd":"bin""#) == "/usr/bin")
            #expect(try await execd.output(second, "pwd") == "/usr/bin", "a run's folder stays")
        }
    }

    @Test(arguments: [
        ("true", "0"), ("false", "1"), ("(exit 7)", "7"), ("exit 3", "3"), ("exit 0", "0"), ("kill -9 $$", "137"),
        ("exec false", "1"), ("nonexistent-command", "127"), ("if", "2"), ("set -e; false", "1"), ("echo 'open", "2"),
    ])
    func `a run ends with its exit code and the session goes on`(command: String, code: String) async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.session(#"{"cwd":"/tmp"}"#)
            let events = try await execd.run(id, command)
            // Shells have different numbers for what they cannot parse.
            let got = execd.code(events)
            #expect(got == code || (code == "2" && got == "1"), "\(events)")
            #expect(try await execd.output(id, "pwd; echo on") == "/tmp\non")
        }
    }

    @Test func `after exit the next run has a fresh shell where the last one was`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.session()
            _ = try await execd.run(id, "cd /usr; A=1")
            #expect(execd.code(try await execd.run(id, "exit 3")) == "3")
            #expect(try await execd.output(id, "pwd; echo ${A-none}") == "/usr\nnone")
        }
    }

    @Test func `no shell begins elsewhere when its folder is gone`() async throws {
        let scratch = Scratch()
        try await LiveExecd.run { execd async throws in
            mkdir(scratch.path, 0o755)
            let id = try await execd.session(#"{"cwd":"\#(scratch.path)"}"#)
            rmdir(scratch.path)
            let answer = try await execd.ask("POST", "/session/\(id)/run", #"{"command":"touch file"}"#)
            #expect(answer.status == 400 && answer.code == "INVALID_REQUEST_BODY")
            #expect(answer.body.contains("folder is gone"))
            #expect(try await execd.output(id, "pwd", #","cwd":"/usr""#) == "/usr")
            #expect(try await execd.output(id, "cd bin; pwd") == "/usr/bin", "and is where it was told to be")
        }
    }

    @Test func `output by both streams is whole when the run ends, however much it is`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.session()
            for count in [1, 40_000, 2] {
                let events = try await execd.run(id, "seq 1 \(count); seq 1 \(count) >&2")
                let wanted = (1...count).map(String.init).joined(separator: "\n")
                #expect(execd.texts("stdout", events) == wanted && execd.texts("stderr", events) == wanted)
                #expect(execd.code(events) == "0")
            }
        }
    }

    @Test func `what a command prints, reads or does to its descriptors is not taken for its end`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.session()
            let commands = [
                ("printf '1 9\\n2 9\\n3 9\\n'", "1 9\n2 9\n3 9"),
                ("cat; read x || echo no input", "no input"),
                ("exec 0</dev/zero; echo zero", "zero"),
                ("for i in 1 2; do echo $i; break; done; break 2>/dev/null; echo after", "1\nafter"),
                ("printf() { echo mine; }; printf x", "mine"),
                ("cat <<EOF\nit's \"quoted\" $((1+1))\nEOF", "it's \"quoted\" 2"),
                ("for fd in /proc/self/fd/*; do readlink $fd; done | grep -c socket || true", "0"),
            ]
            for (command, output) in commands {
                let events = try await execd.run(id, command)
                #expect(execd.texts("stdout", events) == output && execd.code(events) == "0", "\(command): \(events)")
            }
        }
    }

    @Test func `a long command arrives whole`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.session()
            let text = String(repeating: "0123456789", count: 40_000)
            #expect(try await execd.output(id, "x=\(text); echo ${#x}") == "400000")
        }
    }

    @Test func `a run that takes too long is killed with its processes, and the session goes on`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.session(#"{"cwd":"/usr"}"#)
            let events = try await execd.run(id, "sleep 100 & echo $!; wait", #","timeout":300"#)
            #expect(execd.code(events) == "-1", "\(events)")
            let pid = try #require(pid_t(execd.texts("stdout", events)))
            #expect(try await eventually { kill(pid, 0) != 0 || isZombie(pid) })
            #expect(try await execd.output(id, "pwd", #","timeout":60000"#) == "/usr")
        }
    }

    @Test func `one run at a time`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.session()
            let first = Task { try await execd.run(id, "read line < /tmp/spt-\(id).fifo; echo $line") }
            mkfifo("/tmp/spt-\(id).fifo", 0o600)
            defer { unlink("/tmp/spt-\(id).fifo") }
            // Wait until the run reads, so that it is there.
            var gate: CInt = -1
            #expect(
                try await eventually {
                    gate = open("/tmp/spt-\(id).fifo", O_WRONLY | O_NONBLOCK | O_CLOEXEC)
                    return gate >= 0
                })
            let second = try await execd.ask("POST", "/session/\(id)/run", #"{"command":"true"}"#)
            #expect(second.status == 400 && second.body.contains("running a command"))
            write(gate, "go\n", 3)
            close(gate)
            #expect(execd.texts("stdout", try await first.value) == "go")
        }
    }

    @Test func `a run dies with its client`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.session()
            let pid = try #require(pid_t(try await begin("echo $$; sleep 100", in: id, execd)))
            #expect(try await eventually { kill(pid, 0) != 0 })
        }
    }

    @Test(arguments: ["/command?id=", "/session/"])
    func `a run is ended by an interrupt, as a command is, and with its session`(target: String) async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.session()
            let body = #"{"command":"echo begun; sleep 100"}"#
            let ending = Mutex(false)
            let answer = try await RawClient(execd.address).exchange(
                "POST /session/\(id)/run HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
            ) { seen in
                guard seen.contains("begun"), !ending.withLock({ was in (was, was = true).0 }) else { return false }
                let run = execd.texts("init", execd.events(of: seen))
                Task { try await execd.ask("DELETE", target + (target == "/session/" ? id : run)) }
                return false
            }
            #expect(execd.code(execd.events(of: answer)) == (target == "/session/" ? "-1" : "143"))
        }
    }

    /// Starts a run and goes once it has printed; what it printed.
    private func begin(_ command: String, in session: String, _ execd: LiveExecd) async throws -> String {
        let body = #"{"command":"\#(command)"}"#
        let seen = try await RawClient(execd.address).exchange(
            "POST /session/\(session)/run HTTP/1.1\r\nHost: x\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        ) { $0.contains("stdout") }
        return execd.texts("stdout", execd.events(of: seen))
    }

    @Test func `a deleted session is unknown and its processes are gone`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.session()
            let pids = try await execd.output(id, "sleep 100 & echo $!; echo $$").split(separator: "\n")
            #expect(try await execd.ask("DELETE", "/session/\(id)").status == 200)
            for pid in pids.compactMap({ pid_t($0) }) {
                #expect(try await eventually { kill(pid, 0) != 0 || isZombie(pid) })
            }
            #expect(pids.count == 2)
            for (method, target) in [("DELETE", "/session/\(id)"), ("POST", "/session/\(id)/run")] {
                let answer = try await execd.ask(method, target, #"{"command":"true"}"#)
                #expect(answer.status == 404 && answer.code == "CONTEXT_NOT_FOUND")
            }
        }
    }

    @Test func `a variable that is set in the file later reaches the session, its own are left alone`() async throws {
        let file = "/tmp/spt-envs-\(UInt32.random(in: 0 ... .max))"
        try Data("A=1\nB=1\n".utf8).write(to: URL(filePath: file))
        defer { unlink(file) }
        try await LiveExecd.run(environment: ["EXECD_ENVS": file]) { execd async throws in
            let id = try await execd.session()
            #expect(try await execd.output(id, "printenv A B; export B=own") == "1\n1")
            try Data("A='it''s'\nA=\"it's\"\nB=1\n".utf8).write(to: URL(filePath: file))
            #expect(try await execd.output(id, "printenv A B") == "it's\nown")
        }
    }

    @Test(arguments: ["{", "[]", #"{"cwd":7}"#, #"{"cwd":"/nonexistent"}"#])
    func `a session that cannot be is refused`(body: String) async throws {
        try await LiveExecd.run { execd async throws in
            let answer = try await execd.ask("POST", "/session", body)
            #expect(answer.status == 400 && answer.code == "INVALID_REQUEST_BODY")
        }
    }

    @Test(arguments: [
        "", "{}", #"{"command":" "}"#, #"{"command":"true","timeout":-1}"#, #"{"command":"true","cwd":"/nonexistent"}"#,
        #"{"command":"a\u0000b"}"#,
    ])
    func `a run that cannot be is refused`(body: String) async throws {
        try await LiveExecd.run { execd async throws in
            let answer = try await execd.ask("POST", "/session/\(try await execd.session())/run", body)
            #expect(answer.status == 400 && answer.code == "INVALID_REQUEST_BODY")
        }
    }
}

@Suite(.serialized) struct OtherShellTests {
    /// Runs commands in one session of a shell; the outputs and exit codes.
    private func run(_ commands: [String], shell: String) async throws -> [String] {
        let session = ShellSession(
            id: "x", folder: "/", environment: CommandEnvironment(["PATH": ProcessSpec.defaultPath], shell: shell))
        defer { session.delete() }
        var results: [String] = []
        for command in commands {
            let record = CommandRecord(id: "x", content: command, startedAt: 0)
            var output: [UInt8] = []
            let (events, continuation) = AsyncStream<ProcessEvent>.makeStream()
            let hasBegun = try session.run(SessionRunRequest(command: command), record) { event in
                if case .output(_, let bytes) = event { record.produced(bytes.count) }
                continuation.yield(event)
                if case .ended = event { continuation.finish() }
            }
            if !hasBegun { continuation.finish() }
            for await event in events {
                if case .output(.standardOutput, let bytes) = event { output += bytes }
            }
            results.append(String(decoding: output, as: UTF8.self) + "\(record.current.exit?.code ?? -1)")
        }
        return results
    }

    private static let commands = [
        "cd /tmp; a='x y'; f() { echo \"f $1\"; }", "pwd; echo \"$a\"; f 1; cat", "false", "printf '5 0\\n'; exit 4",
        "pwd; echo \"${a-none}\"",
    ]
    private static let results = ["0", "/tmp\nx y\nf 1\n0", "1", "5 0\n4", "/tmp\nnone\n0"]

    @Test(.enabled(if: access("/usr/bin/dash", X_OK) == 0)) func `dash keeps a session as bash does`() async throws {
        #expect(try await run(Self.commands, shell: "/usr/bin/dash") == Self.results)
    }

    @Test(.enabled(if: access("/usr/bin/busybox", X_OK) == 0)) func `so does busybox`() async throws {
        let scratch = Scratch()
        mkdir(scratch.path, 0o755)
        defer { try? FolderChanges.removeTree(scratch.path) }
        symlink("/usr/bin/busybox", "\(scratch.path)/sh")
        #expect(try await run(Self.commands, shell: "\(scratch.path)/sh") == Self.results)
    }

    @Test func `a run whose reader was behind does not hold up the next`() async throws {
        // More than may wait, but no more than the pipe holds besides: the command ends while nothing is read. Nobody
        // here tells the record that anything was taken.
        let most = CommandRecord.maxWaiting
        let results = try await run(
            ["head -c \(most + 40_000) /dev/zero", "head -c 200000 /dev/zero"], shell: "/bin/sh")
        #expect(results.map(\.utf8.count) == [most + 40_001, 200_001])
    }

    @Test func `a shell that does not start is the run's failure, not the session's`() async throws {
        #expect(try await run(["true", "true"], shell: "/nonexistent/sh") == ["-1", "-1"])
    }

    @Test func `a word is quoted for any shell`() {
        #expect(ShellDialogue.quoted("it's") == #"'it'\''s'"#)
        #expect(ShellDialogue.quoted("a'\u{301}b") == #"'a'\''"# + "\u{301}b'")
        #expect(ShellDialogue.answer(ArraySlice("7 130".utf8))?.code == 130)
        for line in ["", "7", "x 1", "7 1 2", "7 x"] { #expect(ShellDialogue.answer(ArraySlice(line.utf8)) == nil) }
    }
}

/// Killed, and waiting for a parent that does not reap: the first process of a container may not.
func isZombie(_ pid: pid_t) -> Bool {
    guard let status = try? Data(contentsOf: URL(filePath: "/proc/\(pid)/stat")) else { return true }
    return String(decoding: status, as: UTF8.self).split(separator: ") ").last?.hasPrefix("Z") == true
}
