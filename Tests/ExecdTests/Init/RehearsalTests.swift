import System
import TestSupport
import Testing

@testable import Execd

@Suite struct RehearsalTests {
    @Test func `a rehearsal runs the program that it is told, and no other, to its end`() async throws {
        let folder = TemporaryFolder("rehearsal"), program = folder.path + "/program"
        try Script.write("#!/bin/sh\nsleep 0.1; echo \"$0 $* $A\" >> \(folder.path)/ran\n", to: program)
        // Nothing listens there, which is no failure.
        await Rehearsal.run(CommandEnvironment([:]), port: 1, program: program)
        #expect(File.text(folder.path + "/ran") == "\(program) --version b\n")
        await Rehearsal.run(CommandEnvironment([:]), port: 1, program: folder.path + "/none")
    }
}
