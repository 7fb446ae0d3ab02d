import FoundationEssentials
import Spelling
import TestSupport
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

@Suite(.serialized) struct GatedStartTests {
    private let hash = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    @Test func `nothing is answered before it is known whose the sandbox is`() async throws {
        try await LiveExecd.run(environment: ["HOME": "/", "EXECD_RUNTIME_INIT": "1", "OPENSANDBOX_ID": "pool"]) {
            execd async throws in
            #expect(try await execd.call("GET", "/ready").contains("503 "))
            for (method, path) in [("GET", "/ping"), ("POST", "/command"), ("GET", "/proxy/80/")] {
                let answer = try await execd.call(method, path)
                #expect(answer.contains("503 ") && answer.contains(#""error":"#), "\(answer)")
            }
            let told =
                #"{"sandboxId":"s-1","generation":3,"accessTokenHash":"\#(hash)","envs":{"A":"told","B":"told"}}"#
            #expect(
                try await execd.call("POST", "/internal/init", #"{"sandboxId":"s-1","generation":0}"#).contains("400 "))
            let done = try await execd.call("POST", "/internal/init", told)
            #expect(
                done.contains("200 ") && done.contains(#"{"generation":3,"sandboxId":"s-1","status":"initialized"}"#))
            #expect(
                try await execd.call("GET", "/ready").contains(
                    #"{"generation":3,"initialized":true,"sandboxId":"s-1"}"#))
            #expect(try await execd.call("GET", "/ping").contains("401 "))
            let answer = try await execd.call(
                "POST", "/command",
                #"{"command":"echo $A $B $OPENSANDBOX_ID","envs":{"B":"asked","OPENSANDBOX_ID":"x"}}"#,
                headers: "X-EXECD-ACCESS-TOKEN: abc\r\n")
            #expect(execd.texts("stdout", execd.events(of: answer)) == "told asked s-1")
            let again = try await execd.call("POST", "/internal/init", told)
            #expect(again.contains("409 ") && again.contains("ALREADY_INITIALIZED"))
        }
    }

    @Test func `a hook that fails leaves the sandbox as it was, and may be told again`() async throws {
        try await LiveExecd.run(environment: ["HOME": "/", "EXECD_RUNTIME_INIT": "1"]) { execd async throws in
            let bad =
                #"{"sandboxId":"s","generation":1,"lifecycle":{"preStart":{"command":["sh","-c","echo broken; exit 3"]}}}"#
            let failed = try await execd.call("POST", "/internal/init", bad)
            #expect(failed.contains("500 ") && failed.contains("it ended with 3: broken"), "\(failed)")
            #expect(try await execd.call("GET", "/ready").contains("503 "))
            #expect(
                try await execd.call("POST", "/internal/init", #"{"sandboxId":"s","generation":1}"#).contains("200 "))
            #expect(try await execd.call("GET", "/ping").contains("200 "))
        }
    }

    @Test func `another program is taken where none runs yet or the one that runs is to end`() async throws {
        for text in [#"[]"#, #"[""]"#, #"["a\u0000b"]"#] {
            let body = #"{"sandboxId":"s","generation":1,"entrypoint":\#(text)}"#
            #expect(throws: (any Error).self) { try InitRequest.decode(Array(body.utf8)) }
        }
        try await LiveExecd.run(environment: ["HOME": "/", "EXECD_RUNTIME_INIT": "1"]) { execd async throws in
            let running = #"{"sandboxId":"s","generation":1,"entrypoint":["sleep","1"]}"#
            let refused = try await execd.call("POST", "/internal/init", running)
            #expect(refused.contains("400 ") && refused.contains("entrypointPolicy restart"), "\(refused)")
            #expect(try await execd.call("GET", "/ready").contains("503 "))
        }
    }

    @Test func `a sandbox that waits for nobody is ready, and cannot be initialised`() async throws {
        try await LiveExecd.run { execd async throws in
            #expect(try await execd.call("GET", "/ready").contains(#"{"initialized":true}"#))
            let answer = try await execd.call("POST", "/internal/init", #"{"sandboxId":"s","generation":1}"#)
            #expect(answer.contains("409 "))
        }
    }

    @Test func `an API that is started again knows what was told`() throws {
        let path = "/tmp/spt-gate-\(UInt32.random(in: 0 ... .max))"
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        unlink(path)
        defer { close(file) }
        let first = GatedStart(isGated: true, file: file)
        #expect(first.told == nil && !first.isOpen)
        #expect(first.begin() && !first.begin())
        first.giveUp()
        #expect(first.begin())
        let text = Array(#"{"sandboxId":"s","generation":1,"envs":{"A":"b"}}"#.utf8)
        let request = try InitRequest.decode(text)
        #expect(write(file, text, text.count) == text.count)
        let second = GatedStart(isGated: true, file: file)
        #expect(second.told == request && second.isOpen && !second.begin())
        #expect(second.told?.variables == ["A": "b", "OPENSANDBOX_ID": "s"])
    }
}

@Suite(.serialized) struct EndTests {
    @Test func `when execd ends, what runs ends with it, and its stream with a last event`() async throws {
        try await LiveExecd.run { execd async throws in
            let command = #"{"command":"trap '' TERM; echo begun; while :; do sleep 0.05; done"}"#
            let session = try await execd.session()
            async let commandStream = RawClient(execd.address).exchange(
                "POST /command HTTP/1.1\r\nHost: x\r\nContent-Length: \(command.utf8.count)\r\n\r\n\(command)")
            async let sessionStream = execd.call("POST", "/session/\(session)/run", #"{"command":"sleep 100"}"#)
            async let watch = execd.call("GET", "/metrics/watch")
            let isRunning = try await eventually { execd.service.runningCommands >= 2 }
            #expect(isRunning)
            await execd.service.end()
            for stream in try await [commandStream, sessionStream] {
                let events = execd.events(of: stream)
                #expect(events.last?.contains(#""type":"error""#) == true, "\(events)")
                #expect(stream.hasSuffix("0\r\n\r\n"), "the last chunk came")
            }
            #expect(try await watch.hasSuffix("0\r\n\r\n"))
        }
    }
}
