import Spelling
import Synchronization
import System
import TestSupport
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

/// Control channels: what a program is told by them, and what it may do to those who tell it.
@Suite(.serialized) struct ControlTests {
    /// A process with a control channel, and what it has printed.
    private final class Spoken: Sendable {
        let channel: ControlChannel
        let output = Mutex<[UInt8]>([])
        let ended = Mutex(false)

        init() throws { channel = try ControlChannel() }

        func start(_ script: String) throws -> RunningProcess {
            let spec = ProcessSpec(arguments: ["/bin/sh", "-c", script], environment: ["PATH": "/usr/bin:/bin"])
            return try ProcessLoop.shared.start(spec, .control(channel)) { event in
                switch event {
                case .output(.standardOutput, let bytes): self.output.withLock { $0 += bytes }
                case .ended: self.ended.withLock { $0 = true }
                default: break
                }
            }
        }

        var text: String { output.withLock { String(decoding: $0, as: UTF8.self) } }
    }

    @Test func `a program that does not read holds up nobody, and what it has not read can be taken back`() async throws
    {
        let spoken = try Spoken(), other = try Spoken()
        let process = try spoken.start("kill -STOP $$; cat")
        #expect(try await eventually { File.text("/proc/\(process.pid)/stat").flatMap(ProcessStat.init)?.state == "T" })
        // More than any socket holds.
        process.write([UInt8](repeating: UInt8(ascii: "a"), count: 8 << 20))
        let quick = try other.start("head -n 1; head -n 1")
        quick.write(Array("through\n".utf8))
        #expect(try await eventually { other.text == "through\n" })
        process.discardInput(of: spoken.channel)
        process.write(Array("new\n".utf8))
        // A signal does not wait for the loop, which has done all that when this has come.
        quick.write(Array("done\n".utf8))
        #expect(try await eventually { other.text == "through\ndone\n" })
        process.signalGroup(SIGCONT)
        #expect(try await eventually { spoken.text.contains("\n") })
        #expect(spoken.text == "new\n")
        process.signalGroup(SIGKILL)
        #expect(try await eventually { spoken.ended.withLock { $0 } })
    }

    @Test func `the loop hears no more of a process that has ended, though its channel is kept`() async throws {
        let spoken = try Spoken()
        let process = try spoken.start("kill -STOP $$; exit 3")
        // Something waits to be written, so that the descriptor is waited for in both directions.
        process.write([UInt8](repeating: 0, count: 8 << 20))
        #expect(try await eventually { File.text("/proc/\(process.pid)/stat").flatMap(ProcessStat.init)?.state == "T" })
        process.signalGroup(SIGCONT)
        #expect(try await eventually { spoken.ended.withLock { $0 } })
        var status = stat()
        #expect(fstat(spoken.channel.near, &status) == 0)
        let waitedFor = (File.names(in: "/proc/self/fdinfo") ?? []).compactMap { File.text("/proc/self/fdinfo/" + $0) }
            .filter { $0.contains("tfd:") && $0.contains("ino:\(String(status.st_ino, radix: 16)) ") }
        #expect(waitedFor.isEmpty, "it would be told again and again")
    }

    @Test func `what is said in one piece is taken apart line by line, and a line that does not end is given up`() {
        var lines = ControlLines(maxLine: 8)
        #expect(lines.append(Array("1 0\n2".utf8)).map { String(decoding: $0, as: UTF8.self) } == ["1 0"])
        #expect(lines.append(Array(" 7\n\n".utf8)).map { String(decoding: $0, as: UTF8.self) } == ["2 7", ""])
        #expect(lines.append([UInt8](repeating: 0x0a, count: 200_000)).count == 200_000)
        #expect(lines.append(Array("123456789".utf8)).isEmpty && lines.isBroken)
        #expect(lines.append(Array("\n1 0\n".utf8)).isEmpty)
    }

    @Test func `what a session's code says in its shell's place ends its own run alone`() async throws {
        let folder = TemporaryFolder("forged")
        try await LiveExecd.run { execd async throws in
            let forger = try await execd.session(), other = try await execd.session()
            // Its run has the same number.
            async let slow = execd.run(other, "until [ -e \(folder.path)/go ]; do sleep 0.01; done; echo mine; exit 4")
            // The shell keeps its channel above 9 while the command has another input.
            let say = "head -c 300000 /dev/zero | tr '\\0' '\\n' >&$n; printf '2 7\\nx\\n1 9\\n' >&$n"
            let events = try await execd.run(forger, "for n in 10 11 12; do { \(say); } 2>/dev/null; done; echo late")
            #expect(execd.code(events) == "9")
            #expect(try await execd.output(forger, "echo next").hasSuffix("next"))
            try File.write([], to: folder.path + "/go", mode: 0o600)
            let own = try await slow
            #expect(execd.texts("stdout", own) == "mine" && execd.code(own) == "4")
        }
    }
}
