import System
import TestSupport
import Testing

@testable import Execd

@Suite struct RehearsalTests {
    @Test func `a rehearsal runs the program that it is told, and no other, to its end`() async throws {
        let folder = TemporaryFolder("rehearsal"), program = folder.path + "/program"
        try File.write(
            Array("#!/bin/sh\nsleep 0.1; echo \"$0 $* $A\" >> \(folder.path)/ran\n".utf8), to: program, mode: 0o700)
        // Nothing listens there, which is no failure.
        await Rehearsal.run(CommandEnvironment([:]), port: 1, program: program)
        #expect(File.text(folder.path + "/ran") == "\(program) --version b\n")
        await Rehearsal.run(CommandEnvironment([:]), port: 1, program: folder.path + "/none")
    }
}
