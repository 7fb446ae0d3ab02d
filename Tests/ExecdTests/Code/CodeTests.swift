import FoundationEssentials
import Spelling
import Synchronization
import TestSupport
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

/// True once.
final class Once: Sendable {
    private let done = Mutex(false)
    func isFirst() -> Bool { done.withLock { was in (!was, was = true).0 } }
}

/// Code without a Jupyter, in processes of execd's own.
@Suite(.serialized) struct CodeTests {
    @Test func `a value comes as a result, by both names, with its count`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.context()
            let run = try await execd.code("x = 41\nx + 1", in: id)
            #expect(run.results == [["text": "42", "text/plain": "42"]] && run.count == 1)
            #expect(run.texts("init") == id && run.events.last?.type == "execution_complete")
            #expect(try await execd.code("x += 1", in: id).results == [])
            let third = try await execd.code("_, x;\n(_, x)", in: id)
            #expect(third.value == "(42, 42)" && third.count == 3, "what was assigned stays")
        }
    }

    @Test func `contexts know nothing of each other`() async throws {
        try await LiveExecd.run { execd async throws in
            let one = try await execd.context(), two = try await execd.context()
            _ = try await execd.code("x = 1", in: one)
            #expect(try await execd.code("x", in: two).error?.ename == "NameError")
            #expect(try await execd.code("x", in: one).value == "1")
        }
    }

    @Test func `what Python, its children and C print comes by its stream, in order`() async throws {
        try await LiveExecd.run { execd async throws in
            let run = try await execd.code(
                """
                import os, sys, subprocess, ctypes
                print("a\\nb")
                subprocess.run(["echo", "child"])
                os.write(1, b"raw\\n")
                ctypes.CDLL(None).printf(b"from C\\n")
                print("err", file=sys.stderr)
                print("no break", end="")
                """)
            #expect(
                run.output == "a\nb\nchild\nraw\nfrom C\nno break" || run.output == "a\nb\nchild\nraw\nno breakfrom C\n"
            )
            #expect(run.errors == "err\n")
            let shown = try await execd.code("print('before')\ndisplay(1)\nprint('after')\n2")
            #expect(
                shown.events.dropFirst().map { $0.text ?? $0.results?["text"] ?? "" } == [
                    "before\n", "1", "after\n", "", "2", "",
                ])
        }
    }

    @Test func `nothing that code prints is taken for the driver's word`() async throws {
        try await LiveExecd.run { execd async throws in
            let run = try await execd.code(
                """
                import subprocess
                line = '{"run":1,"ended":true}'
                print(line)
                subprocess.run(["sh", "-c", "for fd in 0 1 2 3 4 5 6 7 8 9; do echo '%s' >&$fd; done" % line], stderr=-3)
                len(set(__import__("os").listdir("/proc/self/fd")))
                print("end")
                """)
            #expect(run.output.hasSuffix("end\n") && run.error == nil)
            let sockets = try await execd.code(
                "subprocess.run('ls -l /proc/self/fd | grep -c socket', shell=True, capture_output=True).stdout.decode()"
            )
            #expect(sockets.value == #"'0\n'"#, "children have no descriptor of the channel")
        }
    }

    @Test func `objects show themselves as they know how to`() async throws {
        try await LiveExecd.run { execd async throws in
            let run = try await execd.code(
                """
                class Rich:
                    def __repr__(self): return "plain"
                    def _repr_html_(self): return "<b>x</b>"
                    def _repr_png_(self): return b"\\x89PNG"
                    def _repr_json_(self): return {"a": [1]}
                    def _repr_svg_(self): raise ValueError("no picture")
                Rich()
                """)
            #expect(
                run.results == [
                    [
                        "text": "plain", "text/plain": "plain", "text/html": "<b>x</b>", "image/png": "iVBORw==",
                        "application/json": #"{"a":[1]}"#,
                    ]
                ])
            #expect(run.errors.contains("no picture") && run.error == nil)
            let raw = try await execd.code(#"display({"text/latex": "$x$"}, raw=True)"#)
            #expect(raw.results == [["text": "", "text/plain": "", "text/latex": "$x$"]])
        }
    }

    @Test(arguments: [
        ("1/0", "ZeroDivisionError", "division by zero"), ("import sys; sys.exit(3)", "SystemExit", "SystemExit: 3"),
        ("x =", "SyntaxError", "invalid syntax (<cell 1>, line 1)"), ("input()", "EOFError", "input()"),
        ("raise KeyError(chr(0xd800))", "KeyError", "'"), ("def f(): f()\nf()", "RecursionError", "maximum recursion"),
        ("class E(Exception):\n def __str__(self): 1/0\nraise E()", "E", ""), ("exit()", "SystemExit", "None"),
    ])
    func `an error is one event with its trace, and the context goes on`(
        code: String, name: String, value: String
    ) async throws {
        try await LiveExecd.run { execd async throws in
            let run = try await execd.code("y = 5\n" + code)
            #expect(
                run.error?.ename == name
                    && run.error?.evalue.contains(value.replacing("line 1", with: "line 2")) == true)
            #expect(run.error?.traceback.isEmpty == false && run.count == 1, "\(run.events)")
            let trace = run.error?.traceback.joined(separator: "\n") ?? ""
            #expect(!trace.contains("in finished") && (name == "SystemExit" || trace.contains("<cell 1>")), "\(trace)")
            #expect(try await execd.code("1 + 1").value == "2")
        }
    }

    @Test func `an interrupt ends a run within moments, and keeps the variables`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.context()
            for code in [
                "import time; time.sleep(100)", "while True: pass", "import os; os.system('sleep 100'); time.sleep(99)",
            ] {
                let run = try await execd.code("x = 1\nprint('begun')\n\(code)", in: id, at: "begun") {
                    let answer = try await execd.ask("DELETE", "/code?id=\(id)")
                    #expect(answer.status == 200)
                }
                #expect(run.error?.ename == "KeyboardInterrupt", "\(run.events)")
            }
            #expect(try await execd.code("x", in: id).value == "1")
            #expect(try await execd.ask("DELETE", "/code?id=\(id)").status == 200, "nothing runs: nothing happens")
            #expect(try await execd.code("x", in: id).value == "1")
        }
    }

    @Test func `a run that does not heed an interrupt is ended with its process`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.context()
            let run = try await execd.code(
                "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('begun')\ntime.sleep(100)",
                in: id,
                at: "begun"
            ) { _ = try await execd.ask("DELETE", "/code?id=\(id)") }
            #expect(run.error?.ename == "KernelDied" && run.error?.evalue.contains("ignored") == true)
            #expect(try await execd.code("1", in: id).value == "1")
        }
    }

    @Test(arguments: ["import os; os._exit(1)", "import os; os.kill(os.getpid(), 9)", "import os; os.abort()"])
    func `a kernel's death is an error, and the next run has a new one`(code: String) async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.context()
            _ = try await execd.code("x = 1", in: id)
            let run = try await execd.code("print('last words')\n\(code)", in: id)
            #expect(run.error?.ename == "KernelDied" && run.output == "last words\n")
            #expect(try await execd.code("x", in: id).error?.ename == "NameError")
        }
    }

    @Test func `a child that code forks does not answer for it`() async throws {
        try await LiveExecd.run { execd async throws in
            let run = try await execd.code(
                "import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\n'parent' if pid else 'child'")
            #expect(run.value == "'parent'")
            #expect(try await execd.code("2").value == "2")
        }
    }

    @Test func `a result of any size arrives, or says that it is too large`() async throws {
        try await LiveExecd.run { execd async throws in
            let large = try await execd.code("'x' * 1_500_000")
            #expect(large.value?.utf8.count == 1_500_002)
            for code in ["'x' * 5_000_000", "'x' * 50_000_000", "'\\x01' * 3_000_000"] {
                let run = try await execd.code(code)
                #expect(run.value?.hasSuffix("too large to be sent]") == true && run.error == nil)
            }
            let many = try await execd.code("for i in range(300): display('y' * 100_000)")
            #expect(many.results.count == 300 && many.results.allSatisfy { $0["text"]?.utf8.count == 100_002 })
        }
    }

    @Test func `top-level await, a folder of its own, and modules beside the code`() async throws {
        let folder = "/tmp/spt-code-\(UInt32.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await LiveExecd.run { execd async throws in
            let id = try await execd.context(cwd: folder + "/below")
            #expect(try await execd.code("import os; os.getcwd()", in: id).value == "'\(folder)/below'")
            #expect(try await execd.code("import asyncio\nawait asyncio.sleep(0, 'slept')", in: id).value == "'slept'")
            _ = try await execd.code(
                "open('json.py', 'w').write('mine = 1'); open('own.py', 'w').write('x = 7')", in: id)
            #expect(try await execd.code("import own; own.x", in: id).value == "7")
            _ = try await execd.code("os._exit(0)", in: id)
            #expect(try await execd.code("2 + 3", in: id).value == "5", "a file is not taken for the driver's module")
        }
    }

    @Test func `a variable of the environment file reaches a context that is there already`() async throws {
        let file = "/tmp/spt-envs-\(UInt32.random(in: 0 ... .max))"
        defer { unlink(file) }
        try await LiveExecd.run(environment: ["EXECD_ENVS": file]) { execd async throws in
            let python = try await execd.context(), shell = try await execd.context("bash")
            _ = try await execd.code("1", in: python)
            try Data("SPT_A='one two'\n".utf8).write(to: URL(filePath: file))
            #expect(try await execd.code("import os; os.environ['SPT_A']", in: python).value == "'one two'")
            #expect(try await execd.code("echo $SPT_A", in: shell, "bash").output == "one two\n")
        }
    }
}
