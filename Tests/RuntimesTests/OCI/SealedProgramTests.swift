import Foundation
import Glibc
import System
import TestSupport
import Testing

@testable import Runtimes

@Suite struct SealedProgramTests {
    private let folder = TemporaryFolder("sealed")
    private var program: String { folder.path + "/program" }

    /// What a program of the machine prints, run from its copy.
    private func output(_ sealed: SealedProgram, _ arguments: String...) throws -> String {
        let path = folder.path + "/output"
        let file = try FileDescriptor(opening: path, O_RDWR | O_CREAT | O_TRUNC, mode: 0o600)
        var launch = ProcessLaunch([program] + arguments, environment: [])
        (launch.program, launch.output) = (sealed.path, file.number)
        #expect(ProcessExit(waitingFor: try launch.start()) == .exited(0))
        return try String(contentsOfFile: path, encoding: .utf8)
    }

    @Test func `a program runs from a copy that nobody can write to`() throws {
        try FileManager.default.copyItem(atPath: "/usr/bin/readlink", toPath: program)
        let sealed = try #require(SealedProgram.of(program))
        #expect(try output(sealed, "/proc/self/exe").hasPrefix("/memfd:"))
        let opened = open(sealed.path, O_RDWR | O_CLOEXEC)
        defer { close(opened) }
        #expect(opened < 0 || write(opened, "x", 1) < 0 && errno == EPERM)
        #expect(SealedProgram.of(program) === sealed)
    }

    @Test func `another program in its place is copied anew`() throws {
        try FileManager.default.copyItem(atPath: "/usr/bin/readlink", toPath: program)
        let before = try #require(SealedProgram.of(program))
        unlink(program)
        try FileManager.default.copyItem(atPath: "/usr/bin/basename", toPath: program)
        let after = try #require(SealedProgram.of(program))
        #expect(after !== before)
        #expect(try output(after, "/a/b") == "b\n")
    }

    @Test func `a script, what is not there and what fails from memory are run as they are`() throws {
        #expect(SealedProgram.of(program) == nil)
        try "#!/bin/sh\n".write(toFile: program, atomically: true, encoding: .utf8)
        chmod(program, 0o755)
        #expect(SealedProgram.of(program) == nil)
        unlink(program)
        try FileManager.default.copyItem(atPath: "/usr/bin/false", toPath: program)
        #expect(SealedProgram.of(program) == nil)
    }
}
