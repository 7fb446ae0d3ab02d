import Spelling
import Synchronization
import System
import TestSupport
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

/// A process and what it has brought so far.
final class WatchedProcess: Sendable {
    private let events = Mutex<[ProcessEvent]>([])
    private let running = Mutex<RunningProcess?>(nil)

    init(
        _ command: String, _ connection: Connection,
        environment: [ExactName: String] = ["PATH": ProcessSpec.defaultPath]
    ) throws {
        var spec = ProcessSpec(arguments: ["sh", "-c", command], environment: environment)
        if case .terminal = connection { spec.controlsTerminal = true }
        let process = try ProcessLoop.shared.start(spec, connection) { [self] event in
            events.withLock { $0.append(event) }
        }
        running.withLock { $0 = process }
    }

    var process: RunningProcess { running.withLock { $0! } }
    var all: [ProcessEvent] { events.withLock { $0 } }

    func text(_ stream: OutputStream = .terminal) -> String {
        let bytes = all.flatMap { event -> [UInt8] in
            if case .output(stream, let bytes) = event { bytes } else { [] }
        }
        return String(decoding: bytes, as: UTF8.self).replacing("\r\n", with: "\n")
    }

    var taken: Int { all.reduce(0) { if case .took(let count) = $1 { $0 + count } else { $0 } } }

    var exit: ProcessExit? { if case .ended(let exit) = all.last { exit } else { nil } }

    func ended() async throws -> ProcessExit? {
        #expect(try await eventually { exit != nil })
        return exit
    }
}

/// Terminals and input, as the loop has them.
@Suite(.serialized) struct TerminalProcessTests {
    private let terminal = Connection.terminal(.standard, owner: nil)

    @Test func `a terminal has its size before its program begins, and is the program's own`() async throws {
        let shell = try WatchedProcess(
            "stty size; tty; ps -o pid= -p $$ >/dev/null; test -t 0 && test -t 2 && echo all",
            .terminal(TerminalSize(columns: 132, rows: 43), owner: nil))
        #expect(try await shell.ended() == .exited(0))
        #expect(shell.text().hasPrefix("43 132\n/dev/pts/") && shell.text().hasSuffix("all\n"), "\(shell.text())")
    }

    @Test func `the last output comes before the end, every time`() async throws {
        for _ in 0..<30 {
            let shell = try WatchedProcess("head -c 200000 /dev/zero | tr '\\0' x; printf last", terminal)
            #expect(try await shell.ended() == .exited(0))
            let text = shell.text()
            #expect(text.utf8.count == 200_004 && text.hasSuffix("xlast"))
        }
    }

    @Test func `a child in the background that keeps the terminal does not keep the end`() async throws {
        let shell = try WatchedProcess("trap '' HUP; sleep 60 & echo $!", terminal)
        #expect(try await shell.ended() == .exited(0))
        let child = pid_t(shell.text().filter(\.isNumber))
        #expect(child.map { kill($0, SIGKILL) } == 0, "it is left alone")
    }

    @Test func `input is read, and a change of size told`() async throws {
        let shell = try WatchedProcess(
            "trap 'stty size' WINCH; while ! read line; do :; done; echo got $line", terminal)
        #expect(try await eventually { catchesWindowChanges(shell) })
        shell.process.resize(TerminalSize(columns: 99, rows: 11))
        #expect(try await eventually { shell.text().contains("11 99") })
        shell.process.write(Array("word\n".utf8))
        #expect(try await shell.ended() == .exited(0))
        #expect(shell.text().contains("got word") && shell.taken == 5)
    }

    private func catchesWindowChanges(_ shell: WatchedProcess) -> Bool {
        let status = File.text("/proc/\(shell.process.pid)/status") ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("SigCgt:") } ?? ""
        let caught = UInt64(line.drop { $0 != "\t" }.dropFirst(), radix: 16) ?? 0
        return caught >> UInt64(SIGWINCH - 1) & 1 == 1
    }

    @Test func `a signal is the foreground's, and drops what waits to be read`() async throws {
        // Job control gives sleep a group of its own.
        let shell = try WatchedProcess("trap : INT; set -m; stty raw -echo; sleep 60; echo over $?", terminal)
        let flood = [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20)
        shell.process.write(flood)
        #expect(try await eventually { foreground(of: shell) == "sleep\n" })
        #expect(shell.taken < flood.count)
        shell.process.signalForeground(SIGINT)
        #expect(try await shell.ended() == .exited(0))
        #expect(shell.text().contains("over 130"))
        #expect(shell.taken == flood.count)
    }

    /// The name of the program that leads the foreground's group.
    private func foreground(of shell: WatchedProcess) -> String? {
        let stat = File.text("/proc/\(shell.process.pid)/stat") ?? ""
        let fields = stat[(stat.lastIndex(of: ")") ?? stat.startIndex)...].split(separator: " ")
        return fields.count > 6 ? File.text("/proc/\(fields[6])/comm") : nil
    }

    @Test func `a shell that has stopped its group still ends by TERM`() async throws {
        let shell = try WatchedProcess("echo $$; kill -STOP 0; sleep 60", terminal)
        #expect(try await eventually { shell.text().hasSuffix("\n") && isStopped(shell.process.pid) })
        shell.process.signalForeground(SIGTERM)
        #expect(try await shell.ended() == .signalled(SIGTERM))
    }

    private func isStopped(_ pid: pid_t) -> Bool {
        (File.text("/proc/\(pid)/stat") ?? "").contains(") T ")
    }

    @Test func `without a terminal there are three pipes`() async throws {
        let shell = try WatchedProcess("read a; echo $a; echo bad >&2; test -t 0 || cat | wc -c", .pipes)
        shell.process.write(Array("one\n".utf8))
        let long = [UInt8](repeating: 1, count: 300_000)
        shell.process.write(long)
        #expect(try await eventually { shell.taken == 300_004 })
        #expect(shell.text(.standardOutput) == "one\n" && shell.text(.standardError) == "bad\n")
        shell.process.signalForeground(SIGKILL)
        #expect(try await shell.ended() == .signalled(SIGKILL))
    }

    @Test func `input that nobody will read is told of, and ends nothing else`() async throws {
        let shell = try WatchedProcess("exec <&-; echo closed; exec sleep 60", .pipes)
        #expect(try await eventually { shell.text(.standardOutput) == "closed\n" })
        shell.process.write([1])
        #expect(try await eventually { shell.all.contains(.refusedInput) })
        shell.process.signalGroup(SIGKILL)
        #expect(try await shell.ended() == .signalled(SIGKILL))
    }
}
