import FoundationEssentials
import System
import TestSupport
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

/// Terminals as their clients see them: real shells, real WebSockets (EXECD contract, section 1).
@Suite(.serialized) struct TerminalTests {
    @Test func `a terminal is made without a body, and starts at its first connection`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.terminal()
            #expect(try await execd.call("GET", "/pty/\(id)").contains(#""output_offset":0,"running":false"#))
            try await execd.connect(id) { client async throws in
                _ = try await client.read { !$0.notices.isEmpty }
                let connected = client.notices[0]
                #expect(client.bytes.isEmpty && client.offsets.isEmpty && connected.type == "connected")
                #expect(connected.session_id == id && connected.mode == .pty && connected.role == .holder)
                try await client.type("stty size; echo $TERM; echo ~\n")
                try await client.read(until: "\n24 80\nxterm-256color\n/\n")
                try await client.say(#"{"type":"resize","cols":0,"rows":0}"#)
                try await client.say(#"{"type":"resize","cols":120,"rows":40}"#)
                try await client.type("stty size\n")
                try await client.read(until: "\n40 120\n")
                #expect(try await execd.call("GET", "/pty/\(id)").contains(#""running":true"#))
                try await client.type("exit 7\n")
                try await client.readToEnd()
                #expect(client.notices.last?.exit_code == 7 && client.closing == "1000 process exited")
            }
            #expect(try await execd.call("GET", "/pty").contains(#""running":false,"session_id":"\#(id)"}]"#))
        }
    }

    @Test func `bad requests get one envelope and make nothing`() async throws {
        try await LiveExecd.run { execd async throws in
            for (body, status, code) in [
                ("{", 400, "INVALID_REQUEST_BODY"), (#"{"cols":0}"#, 400, "INVALID_REQUEST_BODY"),
                (#"{"cwd":"/proc/none/x"}"#, 500, "RUNTIME_ERROR"),
            ] {
                let answer = try await execd.call("POST", "/pty", body)
                #expect(answer.hasPrefix("HTTP/1.1 \(status) ") && answer.contains(#"{"code":"\#(code)""#), "\(answer)")
                #expect(!answer.contains("session_id"))
            }
            for (method, path) in [("GET", "/pty/x"), ("DELETE", "/pty/x"), ("GET", "/pty/x/ws")] {
                #expect(try await execd.call(method, path).contains("CONTEXT_NOT_FOUND"))
            }
            #expect(try await execd.refusal("x").contains(" 404 "))
            #expect(try await execd.call("GET", "/pty").hasSuffix("[]"))
        }
    }

    @Test func `who comes back gets exactly what was missed`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.terminal(#"{"command":"echo one; read x; seq 10; read x; seq 3"}"#)
            let position = try await execd.connect(id) { client async throws in
                try await client.read(until: "one\n")
                try await client.type("\n")
                return client.position
            }
            let all = #""output_offset":\#(position + 2 + 31),"#
            #expect(try await eventually { try await execd.call("GET", "/pty/\(id)").contains(all) })
            // The end of the first connection may not have been heard of yet.
            try await execd.connect(id, "?takeover=1&since=\(position)") { client async throws in
                _ = try await client.read { !$0.notices.isEmpty }
                #expect(client.offsets.map(\.at) == [position] && client.position == position + 33)
                #expect(client.text == "\n" + (1...10).map { "\($0)\n" }.joined())
                try await client.type("\n")
                try await client.readToEnd()
                #expect(client.text.hasSuffix("3\n") && client.notices.last?.exit_code == 0)
            }
        }
    }

    @Test func `one client holds it: another is refused, or takes it over`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.terminal()
            try await execd.connect(id) { first async throws in
                try await first.type("echo $$-pid\n")
                try await first.read(until: "-pid\n")
                #expect(try await execd.refusal(id).contains(" 409 "))
                let plain = try await execd.call("GET", "/pty/\(id)/ws?takeover=1")
                #expect(plain.contains(" 409 ") && plain.contains("ALREADY_CONNECTED"))
                try await first.type("echo still\n")
                try await first.read(until: "\nstill\n")
                try await execd.connect(id, "?takeover=1") { second async throws in
                    try await first.readToEnd()
                    #expect(first.closing == "4001 TAKEN_OVER")
                    try await second.type("echo mine\n")
                    try await second.read(until: "\nmine\n")
                    #expect(second.text.contains("-pid\n"), "the same shell")
                }
            }
            _ = try await execd.call("DELETE", "/pty/\(id)")
        }
    }

    @Test func `a signal ends what is in the foreground, not the shell`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.terminal()
            try await execd.connect(id) { client async throws in
                try await client.type("sh -c 'echo go; exec sleep 100'\n")
                try await client.read(until: "\ngo\n")
                try await client.say(#"{"type":"signal","signal":"SIGSTOP"}"#)
                try await client.say(#"{"type":"signal","signal":"SIGINT"}"#)
                // Bash drops the rest of a line whose command ended by INT.
                try await client.type("echo back $?\n")
                try await client.read(until: "back 130\n")
                try await client.type("kill -9 $$\n")
                try await client.readToEnd()
                #expect(client.notices.last?.exit_code == -1 && client.notices.last?.signal == "SIGKILL")
            }
        }
    }

    @Test func `frames that mean nothing change nothing`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.terminal()
            try await execd.connect(id) { client async throws in
                for frame in [.init(2), .init(2, [9, 9]), .text("no JSON"), .text("[]")] as [WebSocketClient.Frame] {
                    try await client.send(frame)
                }
                try await client.say(#"{"type":"reboot"}"#)
                try await client.say(#"{"type":"ping"}"#)
                _ = try await client.read { $0.notices.contains { $0.type == "pong" } }
                #expect(client.notices.map { $0.code ?? $0.type } == ["connected", "INVALID_FRAME", "pong"])
                try await client.say(#"{"type":"stdin","data":"exit\n"}"#)
                try await client.readToEnd()
                #expect(client.notices.last?.exit_code == 0)
            }
        }
    }

    @Test func `without a terminal the streams come apart`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.terminal()
            try await execd.connect(id, "?pty=0") { client async throws in
                try await client.say(#"{"type":"resize","cols":1,"rows":1}"#)
                try await client.type("echo a; echo b >&2; test -t 0 || echo none; exit\n")
                try await client.readToEnd()
                #expect(client.notices.first?.mode == .pipe)
                #expect(client.text == "a\nnone\n" && String(decoding: client.errors, as: UTF8.self) == "b\n")
            }
            try await execd.connect(id, "?pty=00") { client async throws in
                _ = try await client.read { !$0.notices.isEmpty }
                #expect(client.notices.first?.mode == .pty, "the next shell is as its own client wants")
                #expect(client.offsets.map(\.at) == [0] && client.text.contains("b\n"))
            }
        }
    }

    @Test func `viewers watch and cannot type`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.terminal()
            #expect(try await execd.refusal(id, "?mode=viewer").contains(" 409 "))
            try await execd.connect(id) { holder async throws in
                try await holder.type("echo first\n")
                try await holder.read(until: "\nfirst\n")
                try await execd.connect(id, "?mode=viewer&takeover=1") { viewer async throws in
                    _ = try await viewer.read { !$0.notices.isEmpty }
                    #expect(viewer.notices.last?.role == .viewer)
                    for _ in 0..<5 { try await viewer.type("echo no\n") }
                    _ = try await viewer.read { $0.notices.filter { $0.code == "READ_ONLY" }.count == 5 }
                    try await holder.type("seq 1000\n")
                    try await viewer.read(until: "\n1000\n")
                    var next = 0
                    for (offset, count) in viewer.offsets {
                        #expect(offset == next)
                        next += count
                    }
                    #expect(!viewer.text.contains("echo no"))
                    try await viewer.say(#"{"type":"signal","signal":"SIGKILL"}"#)
                    try await viewer.readToEnd()
                    #expect(viewer.closing == "1008 READ_ONLY")
                }
                try await execd.connect(id, "?mode=viewer") { viewer async throws in
                    try await holder.type("echo bye; exit 3\n")
                    try await viewer.readToEnd()
                    #expect(viewer.text.contains("\nbye\n") && viewer.notices.last?.exit_code == 3)
                }
            }
        }
    }

    @Test func `all output comes before the end`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.terminal(#"{"command":"head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last"}"#)
            for round in 1...5 {
                try await execd.connect(id, "?since=\(Int.max)") { client async throws in
                    try await client.readToEnd()
                    #expect(client.text.hasSuffix("\nlast\n") && client.text.utf8.count == 3_000_006)
                    #expect(client.offsets.isEmpty && client.largest <= 32 << 10 && client.notices.last?.exit_code == 0)
                }
                #expect(try await execd.call("GET", "/pty/\(id)").contains(#""output_offset":\#(round * 3_000_008)"#))
            }
            try await execd.connect(id) { client async throws in
                _ = try await client.read { !$0.notices.isEmpty }
                // The next shell has started, and what it prints may take the place of the oldest bytes.
                let replay = try #require(client.offsets.first)
                #expect(client.offsets.count == 1 && replay.0 + replay.1 == 15_000_040)
                #expect(replay.1 > 0 && replay.1 <= OutputRing.maxBytes)
            }
        }
    }

    @Test func `a shell that cannot start says so, and the terminal is free`() async throws {
        try await LiveExecd.run { execd async throws in
            let folder = "/tmp/spt-terminal-\(UInt32.random(in: 0 ... .max))"
            let id = try await execd.terminal(#"{"cwd":"\#(folder)/deep"}"#)
            rmdir(folder + "/deep")
            rmdir(folder)
            for _ in 0..<2 {
                try await execd.connect(id) { client async throws in
                    try await client.readToEnd()
                    #expect(client.notices.map(\.code) == ["START_FAILED"] && client.closing == "1011 START_FAILED")
                }
            }
            let status = try await execd.call("GET", "/pty/\(id)")
            #expect(status.contains(#""launch_attempted":true,"launch_failed":true"#))
        }
    }

    @Test func `delete ends all that was started, also what has left the session`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.terminal()
            try await execd.connect(id) { client async throws in
                try await client.type(
                    "(trap '' HUP; sleep 100) & sleep 101 & setsid -f sleep 102; jobs -p; echo ready\n")
                try await client.read(until: "\nready\n")
                #expect(try await eventually { marked(id).count >= 4 })
                #expect(try await execd.call("DELETE", "/pty/\(id)").contains(" 200 "))
                #expect(marked(id).isEmpty)
                try await client.readToEnd()
                #expect(client.notices.last?.exit_code == -1 && client.closing == "1000 process exited")
            }
            #expect(try await execd.call("GET", "/pty/\(id)").contains(" 404 "))
        }
    }

    private func marked(_ id: String) -> [String] {
        (File.names(in: "/proc") ?? []).filter { pid in
            guard pid_t(pid) != nil, let text = File.text("/proc/\(pid)/environ") else { return false }
            return text.contains("SALLYPORT_TERMINAL=\(id)")
        }
    }

    @Test func `input that the shell does not read stops no signal, and is refused when it is too much`() async throws {
        try await LiveExecd.run { execd async throws in
            let command = "stty raw -echo; trap 'echo int' INT; echo ready; while :; do sleep 0.05; done"
            let id = try await execd.terminal(#"{"command":"\#(command)"}"#)
            try await execd.connect(id) { client async throws in
                try await client.read(until: "ready")
                for _ in 0..<12 { try await client.type(String(repeating: "x", count: 64 << 10)) }
                try await client.say(#"{"type":"signal","signal":"SIGINT"}"#)
                try await client.read(until: "int")
                for _ in 0..<40 { try await client.type(String(repeating: "x", count: 64 << 10)) }
                try await client.readToEnd()
                #expect(client.notices.last?.code == "STDIN_WRITE_FAILED")
                #expect(client.closing == "1011 STDIN_WRITE_FAILED")
            }
            #expect(try await execd.call("GET", "/pty/\(id)").contains(#""running":true"#))
            _ = try await execd.call("DELETE", "/pty/\(id)")
        }
    }

    @Test func `there is a limit on terminals`() async throws {
        let registry = TerminalRegistry(maxTerminals: 2)
        let runner = CommandRunner(environment: CommandEnvironment([:], shell: "/bin/sh"))
        func terminal(_ id: String) -> Terminal {
            Terminal(id: id, TerminalRequest(), folder: nil, runner: runner, memory: ByteBudget(8 << 20))
        }
        #expect(registry.add(terminal("a")) && registry.add(terminal("b")) && !registry.add(terminal("c")))
        let later = ContinuousClock.now + TerminalRegistry.maxIdle + .seconds(60)
        #expect(registry.add(terminal("c"), now: later), "unused ones are forgotten")
        #expect(registry["a"] == nil && registry["c"] != nil)
    }

    @Test func `the token is asked for, and pages are refused where there is none`() async throws {
        try await LiveExecd.run(token: "secret") { execd async throws in
            #expect(try await execd.call("POST", "/pty").contains(" 401 "))
            #expect(try await execd.refusal("x").contains(" 401 "))
        }
        try await LiveExecd.run { execd async throws in
            let id = try await execd.terminal()
            let request = WebSocketClient.handshake("/pty/\(id)/ws", ["Origin: http://evil.example"])
            let head = try await WebSocketClient.with(execd.address, request) { _, head in head }
            #expect(head.hasPrefix("HTTP/1.1 403 "))
        }
    }
}
