import FoundationEssentials
import TestSupport
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

/// Contexts as records, whose turn it is in them, and the shell's.
@Suite(.serialized) struct ContextTests {
    @Test func `the default context is made once, listed, and made anew when it was deleted`() async throws {
        try await LiveExecd.run { execd async throws in
            try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<4 { group.addTask { try await execd.code("x = 1").texts("init") } }
                var ids: Set<String> = []
                for try await id in group { ids.insert(id) }
                #expect(ids.count == 1)
                #expect(try await execd.contexts("python") == Array(ids))
            }
            let id = try await execd.contexts("python")[0]
            #expect(try await execd.ask("DELETE", "/code/contexts/\(id)").status == 200)
            #expect(try await execd.contexts("python") == [])
            #expect(try await execd.code("x").error?.ename == "NameError")
            #expect(try await execd.contexts("python") != [id])
        }
    }

    @Test func `contexts are listed by language, and go one by one or all of a language`() async throws {
        try await LiveExecd.run { execd async throws in
            let one = try await execd.context("py"), two = try await execd.context("bash")
            let told = try await execd.ask("GET", "/code/contexts/\(one)")
            #expect(told.status == 200 && told.body.contains(#""language":"py""#))
            #expect(try await execd.contexts("python") == [one])
            #expect(try await execd.contexts("") == [one, two])
            #expect(try await execd.ask("DELETE", "/code/contexts?language=python").status == 200)
            #expect(try await execd.ask("DELETE", "/code/contexts?language=python").status == 200, "none is no failure")
            #expect(try await execd.contexts("") == [two])
            for (method, path, status, code) in [
                ("GET", "/code/contexts/\(one)", 404, "CONTEXT_NOT_FOUND"),
                ("DELETE", "/code/contexts/\(one)", 404, "CONTEXT_NOT_FOUND"),
                ("DELETE", "/code/contexts", 400, "MISSING_QUERY"), ("DELETE", "/code", 400, "MISSING_QUERY"),
                ("DELETE", "/code?id=\(one)", 500, "RUNTIME_ERROR"),
                ("GET", "/code/contexts?language=sql", 400, "INVALID_REQUEST_BODY"),
            ] {
                let answer = try await execd.ask(method, path)
                #expect(answer.status == status && answer.code == code, "\(method) \(path): \(answer)")
            }
        }
    }

    @Test(arguments: [
        (#"{"code":"1","context":{"id":"nope"}}"#, 400, "CONTEXT_NOT_FOUND"),
        (#"{"code":"1","context":{"language":"cobol"}}"#, 400, "INVALID_REQUEST_BODY"),
        (#"{"code":"1","context":{"language":"java"}}"#, 500, "RUNTIME_ERROR"),
        (#"{"code":"1","context":{"language":"python","cwd":"/proc/none"}}"#, 400, "INVALID_REQUEST_BODY"),
        (#"{"code":""}"#, 400, "INVALID_REQUEST_BODY"),
    ])
    func `what cannot run is refused before the first byte of a stream`(body: String, status: Int, code: String)
        async throws
    {
        try await LiveExecd.run { execd async throws in
            let answer = try await execd.ask("POST", "/code", body)
            #expect(answer.status == status && answer.code == code, "\(answer)")
        }
    }

    @Test func `a second run waits for the first, and too many are refused`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.context()
            let fifo = "/tmp/spt-\(id).fifo"
            mkfifo(fifo, 0o600)
            defer { unlink(fifo) }
            async let first = execd.code("order = ['first']\nopen('\(fifo)').read()", in: id)
            var gate: CInt = -1
            #expect(
                try await eventually {
                    gate = open(fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC)
                    return gate >= 0
                })
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<RunQueue.maxWaiting + 1 {
                    group.addTask {
                        try await execd.ask("POST", "/code", try execd.body("order.append('next')", in: id)).status
                    }
                }
                // Whichever comes last is refused at once; the others wait for the first run's end.
                #expect(try await group.next() == 400)
                close(gate)
                for try await status in group { #expect(status == 200) }
            }
            #expect(try await first.error == nil)
            #expect(
                try await execd.code("len(order), order[0]", in: id).value == "(\(RunQueue.maxWaiting + 1), 'first')")
        }
    }

    @Test func `the run of a client that has gone is interrupted, and one that waits does not begin`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.context()
            try await execd.leave("ran = []\nprint('begun')\nimport time\ntime.sleep(100)", in: id, after: "begun")
            #expect(try await execd.code("ran", in: id).value == "[]", "the context is free again")
        }
    }

    @Test func `a context that is deleted ends its run and its processes`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.context()
            let run = try await execd.code(
                "import os, subprocess\np = subprocess.Popen(['sleep', '100'])\nprint(os.getpid(), p.pid, 'begun')\np.wait()",
                in: id, at: "begun"
            ) { _ = try await execd.ask("DELETE", "/code/contexts/\(id)") }
            #expect(run.error?.ename == "KernelDied" && run.error?.evalue.contains("deleted") == true)
            for pid in run.output.split(separator: " ").compactMap({ pid_t($0) }) {
                #expect(try await eventually { kill(pid, 0) != 0 || isZombie(pid) })
            }
            #expect(try await execd.ask("GET", "/code/contexts/\(id)").status == 404)
        }
    }

    @Test func `there is a limit to contexts`() async throws {
        try await LiveExecd.run { execd async throws in
            var statuses: [Int] = []
            for _ in 0...CodeContexts.maxContexts {
                statuses.append(try await execd.ask("POST", "/code/context", #"{"language":"bash"}"#).status)
            }
            #expect(statuses.filter { $0 == 200 }.count == CodeContexts.maxContexts && statuses.last == 500)
            #expect(try await execd.ask("DELETE", "/code/contexts?language=bash").status == 200)
        }
    }

    @Test func `bash keeps what a run leaves, and an interrupt does not take it`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.context("bash", cwd: "/usr")
            let first = try await execd.code(
                "x=5; f() { echo \"f $1\"; }; cd bin; echo out; echo err >&2", in: id, "bash")
            #expect(first.output == "out\n" && first.errors == "err\n" && first.count == 1, "no greeting of the shell")
            let run = try await execd.code("echo begun; sleep 100; echo not reached", in: id, "bash", at: "begun") {
                _ = try await execd.ask("DELETE", "/code?id=\(id)")
            }
            #expect(run.error?.ename == "KeyboardInterrupt" && run.output == "begun\n")
            #expect(
                try await execd.code("echo $x; f 1; pwd; printf 'no break'", in: id, "bash").output
                    == "5\nf 1\n/usr/bin\nno break")
            let failed = try await execd.code("(exit 3)", in: id, "bash")
            #expect(failed.error?.evalue == "exit status 3" && failed.error?.traceback == [])
            #expect(try await execd.code("echo 'open", in: id, "bash").error != nil)
            #expect(
                try await execd.code("cat; read y || echo nothing to read", in: id, "bash").output
                    == "nothing to read\n")
            #expect(try await execd.code("exit 4", in: id, "bash").error?.ename == "KernelDied")
            #expect(try await execd.code("echo ${x-none}", in: id, "bash").output == "none\n")
        }
    }

    @Test func `no kernel begins elsewhere when its folder is gone`() async throws {
        let scratch = Scratch()
        mkdir(scratch.path, 0o755)
        try await LiveExecd.run { execd async throws in
            let id = try await execd.context("bash", cwd: scratch.path)
            #expect(try await execd.code("exit", in: id, "bash").error?.ename == "KernelDied")
            rmdir(scratch.path)
            let run = try await execd.code("touch file", in: id, "bash")
            #expect(run.error?.ename == "KernelDied" && run.error?.evalue.hasPrefix(scratch.path) == true)
            mkdir(scratch.path, 0o755)
            defer { rmdir(scratch.path) }
            #expect(try await execd.code("pwd", in: id, "bash").output == "\(scratch.path)\n")
        }
    }

    @Test func `without a language code is a command`() async throws {
        try await LiveExecd.run { execd async throws in
            #expect(try await execd.code("echo $((1+1)); x=1", nil, nil).output == "2")
            let background = try await execd.code("true", in: nil, "background-command")
            #expect(background.events.map(\.type) == ["init", "execution_complete"])
        }
    }
}

extension LiveExecd {
    fileprivate func code(_ code: String, _ context: String?, _ language: String?) async throws -> CodeOutcome {
        try await self.code(code, in: context, language)
    }
}
