import FoundationEssentials
import HTTPServer
import NIOCore
import Spelling
import System
import TestSupport
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

/// A running execd and a client of it.
struct LiveExecd: Sendable {
    let address: SocketAddress
    let service: Service

    static func run(
        environment: [ExactName: String] = ["HOME": "/"], token: String? = nil, program: String = "/nonexistent",
        isolation: String? = nil, _ body: @Sendable (LiveExecd) async throws -> Void
    ) async throws {
        var options = Options()
        options.port = 0
        (options.program, options.isolation) = (program, isolation)
        let path = "/tmp/spt-execd-\(UInt32.random(in: 0 ... .max)).token"
        if let token {
            try Data(token.utf8).write(to: URL(filePath: path))
            options.tokenFile = path
        }
        let service = try await Service.start(options, environment: environment)
        let server = service.server
        unlink(path)
        do {
            let address = try SocketAddress(ipAddress: "127.0.0.1", port: service.address.port!)
            try await body(LiveExecd(address: address, service: service))
        } catch {
            await server.shutdown(grace: .zero)
            throw error
        }
        await server.shutdown(grace: .zero)
    }

    /// Sends a request; the whole response.
    func call(_ method: String, _ target: String, _ body: String = "", headers: String = "") async throws -> String {
        try await RawClient(address).exchange(
            "\(method) \(target) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\(headers)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
        )
    }

    /// The events of a command, each as its JSON.
    func events(_ body: String) async throws -> [String] {
        events(of: try await call("POST", "/command", body))
    }

    /// The records of a stream, which is chunked.
    func events(of answer: String) -> [String] {
        answer.split(whereSeparator: \.isNewline).filter { $0.hasPrefix("{") }.map(String.init)
    }

    func texts(_ type: String, _ events: [String]) -> String {
        events.filter { $0.contains(#""type":"\#(type)""#) }.compactMap { event in
            struct Text: Decodable { var text: String? }
            return try? JSONDecoder().decode(Text.self, from: Data(event.utf8)).text
        }.joined()
    }
}

@Suite(.serialized) struct CommandTests {
    @Test func `output comes by its streams, then the end`() async throws {
        try await LiveExecd.run { execd async throws in
            let events = try await execd.events(#"{"command":"echo one; echo two; echo bad >&2"}"#)
            #expect(events.first?.contains(#""type":"init""#) == true)
            #expect(execd.texts("stdout", events) == "one\ntwo")
            #expect(execd.texts("stderr", events) == "bad")
            #expect(events.last?.contains(#""type":"execution_complete""#) == true)
            #expect(events.allSatisfy { $0.contains(#""timestamp":"#) })
        }
    }

    @Test(arguments: [
        (#"{"command":"exit 3"}"#, "3"), (#"{"command":"kill -9 $$"}"#, "137"), (#"{"argv":["/nonexistent"]}"#, "127"),
        (#"{"command":"sleep 30","timeout":50}"#, "-1"),
    ])
    func `a failure says its code and nothing is completed`(body: String, code: String) async throws {
        try await LiveExecd.run { execd async throws in
            let events = try await execd.events(body)
            #expect(events.last?.contains(#""ename":"CommandExecError","evalue":"\#(code)""#) == true, "\(events)")
            #expect(!events.contains { $0.contains("execution_complete") })
        }
    }

    @Test func `a child that keeps the output open does not keep the command open`() async throws {
        try await LiveExecd.run { execd async throws in
            let events = try await execd.events(#"{"command":"sleep 20 & echo pid $!"}"#)
            #expect(events.last?.contains("execution_complete") == true)
            let pid = try #require(pid_t(execd.texts("stdout", events).dropFirst(4)))
            #expect(kill(pid, SIGKILL) == 0, "it was left running")
        }
    }

    @Test func `a lot of output arrives whole`() async throws {
        try await LiveExecd.run { execd async throws in
            let events = try await execd.events(#"{"command":"seq 1 60000"}"#)
            #expect(execd.texts("stdout", events) == (1...60000).map(String.init).joined(separator: "\n"))
        }
    }

    @Test func `a line that is printed in parts is one event`() async throws {
        try await LiveExecd.run { execd async throws in
            let command = "for i in 1 2 3; do printf '%s.' $i; printf '%s,' $i >&2; done; echo; printf '%040000d' 7"
            let events = try await execd.events(#"{"command":"\#(command)"}"#)
            #expect(events.filter { $0.contains(#""type":"stdout""#) }.count == 2)
            #expect(execd.texts("stdout", events) == "1.2.3.\n" + String(repeating: "0", count: 39_999) + "7")
            #expect(events.filter { $0.contains(#""type":"stderr""#) }.count == 1)
            #expect(execd.texts("stderr", events) == "1,2,3,")
        }
    }

    @Test func `a command that the memory limit ended says so`() async throws {
        let folder = "/tmp/spt-group-\(UInt32.random(in: 0 ... .max))"
        for (events, limit, content) in [
            ("memory.events", "memory.max", "268435456\n"),
            ("memory/memory.oom_control", "memory/memory.limit_in_bytes", "268435456\n"),
        ] {
            mkdir(folder, 0o755)
            mkdir(folder + "/memory", 0o755)
            try Data("oom_kill_disable 0\noom_kill 3\n".utf8).write(to: URL(filePath: "\(folder)/\(events)"))
            try Data(content.utf8).write(to: URL(filePath: "\(folder)/\(limit)"))
            defer { try? FolderChanges.removeTree(folder) }
            let runner = CommandRunner(
                environment: CommandEnvironment([:]), memory: MemoryGroup(folder: folder))
            for (script, code, isTold) in [
                ("echo oom_kill 4 > \(folder)/\(events); kill -9 $$", 137, true), ("kill -9 $$", 137, false),
                ("echo oom_kill 5 > \(folder)/\(events)", 0, false),
            ] {
                let (record, stream) = runner.start(CommandRequest(command: script))
                for await _ in stream {}
                #expect(record.current.exit?.code == Int32(code))
                let text = "the sandbox's memory limit of 256 MiB was reached: the kernel ended processes of it"
                #expect(record.current.explanation == (isTold ? text : nil))
            }
        }
    }

    @Test func `memory that runs out ends commands before it ends execd`() async throws {
        try await LiveExecd.run { execd async throws in
            let command = try await execd.events(#"{"command":"cat /proc/self/oom_score_adj"}"#)
            #expect(execd.texts("stdout", command) == "1000")
            let session = try await execd.session()
            #expect(try await execd.output(session, "cat /proc/$$/oom_score_adj") == "1000")
        }
    }

    @Test func `environment, folder and user are as asked for`() async throws {
        let file = "/tmp/spt-envs-\(UInt32.random(in: 0 ... .max))"
        try Data("FROM_FILE='a b'\n".utf8).write(to: URL(filePath: file))
        defer { unlink(file) }
        try await LiveExecd.run(environment: ["EXECD_ENVS": file, "BASE": "1"]) { execd async throws in
            let events = try await execd.events(
                #"{"command":"echo $BASE-$FROM_FILE-$MINE-$PWD-$(id -u):$(id -g)","cwd":"/tmp","uid":65534,"gid":65534,"envs":{"MINE":"x"}}"#
            )
            #expect(execd.texts("stdout", events) == "1-a b-x-/tmp-65534:65534")
            try Data("FROM_FILE=changed\n".utf8).write(to: URL(filePath: file))
            let later = try await execd.events(#"{"command":"echo $FROM_FILE"}"#)
            #expect(execd.texts("stdout", later) == "changed")
        }
    }

    @Test func `a foreground command dies with its client`() async throws {
        try await LiveExecd.run { execd async throws in
            let body = #"{"command":"echo $$; exec sleep 100"}"#
            let seen = try await RawClient(execd.address).exchange(
                "POST /command HTTP/1.1\r\nHost: x\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
            ) { $0.contains("stdout") }
            let event = try #require(seen.split(whereSeparator: \.isNewline).first { $0.contains("stdout") })
            let pid = try #require(pid_t(execd.texts("stdout", [String(event)])))
            let gone = try await eventually { kill(pid, 0) != 0 }
            #expect(gone)
        }
    }

    @Test func `a background command goes on without its client, and its log is read from a cursor`() async throws {
        try await LiveExecd.run { execd async throws in
            let events = try await execd.events(
                #"{"command":"echo first; sleep 0.2; echo second >&2; exit 4","background":true}"#)
            #expect(events.count == 2 && events[1].contains("execution_complete"))
            let id = execd.texts("init", events)
            let ended = try await eventually {
                try await execd.call("GET", "/command/status/\(id)").contains(#""running":false"#)
            }
            #expect(ended)
            let status = try await execd.call("GET", "/command/status/\(id)")
            #expect(status.contains(#""exit_code":4"#) && status.contains(#""finished_at":""#))
            let logs = try await execd.call("GET", "/command/\(id)/logs")
            #expect(logs.hasSuffix("first\nsecond\n") && logs.contains("EXECD-COMMANDS-TAIL-CURSOR: 13"))
            #expect(try await execd.call("GET", "/command/\(id)/logs?cursor=6").hasSuffix("\r\n\r\nsecond\n"))
            #expect(try await execd.call("GET", "/command/\(id)/logs?cursor=x").hasPrefix("HTTP/1.1 400"))
        }
    }

    @Test func `a background program that does not start reports 127 everywhere`() async throws {
        try await LiveExecd.run { execd async throws in
            for body in [#"{"argv":["/nonexistent"],"background":true}"#, #"{"argv":["/tmp"],"background":true}"#] {
                let events = try await execd.events(body)
                #expect(events.count == 2 && events[1].contains(#""evalue":"127""#), "\(events)")
                let status = try await execd.call("GET", "/command/status/\(execd.texts("init", events))")
                #expect(status.contains(#""exit_code":127"#) && status.contains(#""running":false"#))
            }
        }
    }

    @Test func `an interrupted command ends by its signal`() async throws {
        try await LiveExecd.run { execd async throws in
            let events = try await execd.events(#"{"command":"exec sleep 100","background":true}"#)
            let id = execd.texts("init", events)
            #expect(try await execd.call("DELETE", "/command?id=\(id)").hasPrefix("HTTP/1.1 200"))
            let ended = try await eventually {
                try await execd.call("GET", "/command/status/\(id)").contains(#""exit_code":143"#)
            }
            #expect(ended)
            #expect(try await execd.call("DELETE", "/command?id=\(id)").contains("RUNTIME_ERROR"))
        }
    }

    @Test func `bad requests are told so and start nothing`() async throws {
        try await LiveExecd.run { execd async throws in
            #expect(try await execd.call("POST", "/command", "{").contains(#""code":"INVALID_REQUEST_BODY""#))
            let noFolder = try await execd.call("POST", "/command", #"{"command":"true","cwd":"/nonexistent"}"#)
            #expect(noFolder.hasPrefix("HTTP/1.1 400") && noFolder.contains("/nonexistent"))
            #expect(try await execd.call("DELETE", "/command").hasPrefix("HTTP/1.1 400"))
            #expect(try await execd.call("GET", "/command/status/none").hasPrefix("HTTP/1.1 404"))
            #expect(try await execd.call("GET", "/nothing").contains("NOT_SUPPORTED"))
        }
    }

    @Test func `with a token, requests without it are refused`() async throws {
        try await LiveExecd.run(token: "s3cret\n") { execd async throws in
            #expect(try await execd.call("GET", "/ping").hasPrefix("HTTP/1.1 401"))
            #expect(
                try await execd.call("GET", "/ping", headers: "X-EXECD-ACCESS-TOKEN: s3cre\r\n").hasPrefix(
                    "HTTP/1.1 401"))
            #expect(
                try await execd.call("GET", "/ping", headers: "X-EXECD-ACCESS-TOKEN: s3cret\r\n").hasPrefix(
                    "HTTP/1.1 200"))
        }
    }

    @Test func `without a token no page of a browser gets anything`() async throws {
        try await LiveExecd.run { execd async throws in
            let command = #"{"command":"true"}"#
            for headers in ["Origin: http://page.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
                #expect(try await execd.call("POST", "/command", command, headers: headers).hasPrefix("HTTP/1.1 403"))
                #expect(try await execd.call("GET", "/ping", headers: headers).hasPrefix("HTTP/1.1 403"))
            }
            #expect(try await execd.call("GET", "/ping").hasPrefix("HTTP/1.1 200"))
            // A page whose name was made to lead here asks for what seems to be its own, and names no origin.
            let browser = "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nConnection: close\r\n\r\n"
            for (host, status) in [("evil.example:44772", "403"), ("127.0.0.1:44772", "200"), ("localhost", "200")] {
                let answer = try await RawClient(execd.address).exchange(
                    "GET /ping HTTP/1.1\r\nHost: \(host)\r\n" + browser)
                #expect(answer.hasPrefix("HTTP/1.1 \(status)"), "\(host)")
            }
        }
        try await LiveExecd.run(token: "s3cret") { execd async throws in
            let headers = "X-EXECD-ACCESS-TOKEN: s3cret\r\nOrigin: http://page.example\r\n"
            #expect(try await execd.call("GET", "/ping", headers: headers).hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test func `metrics have what clients require`() async throws {
        try await LiveExecd.run { execd async throws in
            let answer = try await execd.call("GET", "/metrics")
            for key in ["cpu_count", "cpu_used_pct", "mem_total_mib", "mem_used_mib", "timestamp"] {
                #expect(answer.contains(#""\#(key)":"#))
            }
        }
    }

    @Test func `watching brings a line of metrics again and again`() async throws {
        try await LiveExecd.run { execd async throws in
            let seen = try await RawClient(execd.address).exchange("GET /metrics/watch HTTP/1.1\r\nHost: x\r\n\r\n") {
                $0.split(whereSeparator: \.isNewline).filter { $0.hasPrefix("{") }.count == 2
            }
            #expect(seen.contains("content-type: text/event-stream\r\n"))
            for line in seen.split(whereSeparator: \.isNewline).filter({ $0.hasPrefix("{") }) {
                #expect(line.contains(#""cpu_used_pct":"#) && line.hasSuffix("}"))
            }
        }
    }

    @Test func `what is not there yet is told so`() async throws {
        try await LiveExecd.run { execd async throws in
            let capabilities = try await execd.ask("GET", "/v1/isolated/capabilities")
            #expect(capabilities.status == 200 && capabilities.body.contains(#""available":false"#))
            #expect(capabilities.body.contains("bootstrap.execd.isolation=enable"))
            let id = "/v1/isolated/session/1c6ac2f5-5a52-4c8e-8c2c-0a8a5a6a1d11"
            for (method, path) in [
                ("POST", "/v1/isolated/session"), ("GET", "/v1/isolated/sessions"), ("GET", id), ("DELETE", id),
                ("POST", id + "/run"), ("GET", id + "/runs/1"), ("GET", id + "/runs/1/logs"), ("GET", id + "/diff"),
                ("POST", id + "/commit"), ("GET", id + "/files/info?path=/a"), ("DELETE", id + "/directories?path=/a"),
            ] {
                let answer = try await execd.ask(method, path)
                #expect(answer.status == 503 && answer.code == "SERVICE_UNAVAILABLE", "\(path)")
                #expect(answer.body.contains("isolation unavailable"), "\(path)")
            }
            for (method, path) in [
                ("GET", "/"), ("GET", "/v1"), ("GET", "/files/download/x"), ("POST", "/session/a/b"),
                ("GET", "/v1/filesystem/0/0/ping"),
            ] {
                let answer = try await execd.ask(method, path)
                #expect(answer.status == 404 && answer.code == "NOT_SUPPORTED", "\(path)")
            }
            for (method, path, allowed) in [
                ("PUT", "/files", "DELETE"), ("GET", "/session", "POST"), ("POST", "/metrics", "GET, HEAD"),
                ("POST", "/v1/filesystem/0/0/files/info", "GET, HEAD"),
            ] {
                let answer = try await execd.ask(method, path)
                #expect(answer.status == 405 && answer.code == "NOT_SUPPORTED", "\(path)")
                #expect(answer.header("allow") == allowed, "\(path)")
            }
            #expect(try await execd.call("HEAD", "/metrics/watch").hasSuffix("\r\n\r\n"), "a stream without an end")
        }
    }
}
