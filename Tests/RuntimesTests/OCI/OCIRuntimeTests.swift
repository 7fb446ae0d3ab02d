import Foundation
import Glibc
import TestSupport
import Testing

@testable import Runtimes

@Suite struct OCIRuntimeTests {
    @Test func `the program ends with the server, and its container is passed what is meant for it`() throws {
        let folder = TemporaryFolder("oci")
        let program = folder.path + "/program"
        // PR_GET_PDEATHSIG; then what it may read of the descriptors, and how it was called.
        let script = """
            #!/usr/bin/python3
            import ctypes, os, sys
            signal = ctypes.c_int()
            ctypes.CDLL(None).prctl(2, ctypes.byref(signal), 0, 0, 0)
            print(signal.value, sys.argv[1], sys.argv[sys.argv.index("--preserve-fds") + 1])
            for descriptor in (3, 4): print(os.read(descriptor, 9).decode())
            try: os.fstat(5)
            except OSError: print("no more")
            """
        try Script.write(script, to: program)
        var passed: [CInt] = []
        for text in ["one", "two", "execd"] {
            try Data(text.utf8).write(to: URL(filePath: folder.path + "/" + text))
            if text != "execd" { passed.append(open(folder.path + "/" + text, O_RDONLY | O_CLOEXEC)) }
        }
        defer { for descriptor in passed { close(descriptor) } }
        let log = open(folder.path + "/log", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        defer { close(log) }
        // The numbers are the child's, whatever they are here, and in this order.
        try OCIRuntime(executable: program, hiddenFolder: nil).run(
            "x", RuntimeView(SandboxFolder(path: folder.path), execd: folder.path + "/one", networkNamespace: nil),
            detached: true, passed: passed.reversed(), log: log)
        #expect(try String(contentsOfFile: folder.path + "/log", encoding: .utf8) == "9 run 2\ntwo\none\nno more\n")
    }
}
