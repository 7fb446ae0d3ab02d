import System
import TestSupport
import Testing

@testable import Execd

#if canImport(Glibc)
    import Glibc
#endif

@Suite struct ProcessStatTests {
    private static let rest = " 0 -1 4194304 90 0 0 0 1 2 3 4 20 0 1 0 98765 2600960 256"

    @Test(
        arguments: [
            ("7 (sh) S 1 40 41", [7, 1, 40, 41]), ("7 (a) (b) R 1 2) S 3 40 41", [7, 3, 40, 41]),
            ("7 () R 1 42 43", [7, 1, 42, 43]), ("7 (a\nb) R 1 42 43", [7, 1, 42, 43]),
        ] as [(String, [pid_t])])
    func `a process is read around its name, whatever that is`(_ text: String, _ numbers: [pid_t]) throws {
        let stat = try #require(ProcessStat(text + Self.rest))
        #expect([stat.pid, stat.parent, stat.group, stat.session] == numbers && stat.start == 98765)
    }

    @Test(arguments: ["", "7", "7 sh S 1 2 3", "7 )sh( S 1 2 3" + rest, "x (sh) S 1 2 3" + rest, "7 (sh) S 1 2 3"])
    func `what is cut or no process is none`(_ text: String) { #expect(ProcessStat(text) == nil) }

    @Test func `this process is what it is`() throws {
        let stat = try #require(File.text("/proc/self/stat").flatMap(ProcessStat.init))
        #expect(stat.pid == getpid() && stat.parent == getppid() && stat.group == getpgrp())
        #expect(stat.start <= ProcessStat.now)
    }

    @Test func `descendants are found through all that is between`() {
        func process(_ pid: pid_t, _ parent: pid_t) -> ProcessStat {
            ProcessStat("\(pid) (x) S \(parent) \(pid) \(pid)" + Self.rest)!
        }
        let all = [process(5, 1), process(6, 5), process(7, 6), process(8, 1), process(9, 8)]
        #expect(ProcessStat.withDescendants(of: all) { $0.pid == 5 }.map(\.pid).sorted() == [5, 6, 7])
        #expect(ProcessStat.withDescendants(of: all) { _ in false }.isEmpty)
        // What never ends to be its own parent's child is not looked at twice.
        #expect(ProcessStat.withDescendants(of: [process(5, 6), process(6, 5)]) { $0.pid == 5 }.count == 2)
    }
}

/// What a command has started ends with it where it is ended by others: by an interrupt, its time limit, or because its client goes.
@Suite(.serialized) struct EndingTests {
    /// Starts processes in ways to get away, each of which notes its pid, and then waits.
    private static let escapes = [
        "setsid sleep 1000 & echo $!", "setsid sh -c 'sleep 1000 & echo $!; wait' &",
        // The parent has ended.
        "setsid sh -c 'sleep 1000 & echo $!' &",
        // Without the variable, but still a child of something that is found.
        "env -i setsid sleep 1000 & echo $!",
    ]

    private func pids(_ execd: LiveExecd, _ id: String, _ count: Int) async throws -> [pid_t] {
        #expect(try await eventually { try await execd.log(id).split(separator: "\n").count == count })
        return try await execd.log(id).split(separator: "\n").compactMap { pid_t($0) }
    }

    /// Gone, or a zombie that nobody has waited for yet.
    private func isGone(_ pid: pid_t) -> Bool {
        guard let stat = File.text("/proc/\(pid)/stat").flatMap(ProcessStat.init) else { return true }
        return stat.state == "Z" || stat.state == "X"
    }

    @Test func `an interrupt ends also what has left the group`() async throws {
        try await LiveExecd.run { execd async throws in
            let command = (Self.escapes + ["wait"]).joined(separator: "\\n")
            let id = try await execd.begin(#"{"command":"\#(command)","background":true}"#)
            let pids = try await pids(execd, id, Self.escapes.count)
            #expect(pids.count == Self.escapes.count && pids.allSatisfy { !isGone($0) })
            #expect(try await execd.ask("DELETE", "/command?id=\(id)").status == 200)
            #expect(try await execd.hasEnded(id))
            #expect(try await eventually { pids.allSatisfy(isGone) }, "\(pids.filter { !isGone($0) })")
        }
    }

    @Test func `what ignores TERM is killed all the same`() async throws {
        try await LiveExecd.run { execd async throws in
            let id = try await execd.begin(
                #"{"command":"setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & wait","background":true}"#
            )
            let pids = try await pids(execd, id, 1)
            #expect(try await execd.ask("DELETE", "/command?id=\(id)").status == 200)
            #expect(try await eventually { pids.allSatisfy(isGone) })
        }
    }

    @Test func `a time limit ends also what has left the group`() async throws {
        try await LiveExecd.run { execd async throws in
            let command = (Self.escapes + ["wait"]).joined(separator: "\\n")
            let events = try await execd.events(#"{"command":"\#(command)","timeout":1500}"#)
            #expect(events.last?.contains(#""evalue":"-1""#) == true, "\(events)")
            let pids = execd.texts("stdout", events).split(separator: "\n").compactMap { pid_t($0) }
            #expect(pids.count == Self.escapes.count)
            #expect(try await eventually { pids.allSatisfy(isGone) }, "\(pids.filter { !isGone($0) })")
        }
    }

    @Test func `with execd ends also what has left the group, and what ignores TERM`() async throws {
        try await LiveExecd.run { execd async throws in
            let escapes = Self.escapes + ["setsid sh -c 'trap \\\"\\\" TERM; echo $$; while :; do sleep 1; done' &"]
            let command = (escapes + ["wait"]).joined(separator: "\\n")
            let id = try await execd.begin(#"{"command":"\#(command)","background":true}"#)
            let pids = try await pids(execd, id, escapes.count)
            #expect(pids.count == escapes.count && pids.allSatisfy { !isGone($0) })
            let left = try await execd.events(#"{"command":"setsid sleep 1000 & echo $!"}"#)
            let pid = try #require(pid_t(execd.texts("stdout", left)))
            await execd.service.end()
            #expect(pids.allSatisfy(isGone), "\(pids.filter { !isGone($0) })")
            #expect(!isGone(pid), "a command that ended before has left it running")
            kill(pid, SIGKILL)
        }
    }

    @Test func `a command that ends by itself leaves its servers running`() async throws {
        try await LiveExecd.run { execd async throws in
            let events = try await execd.events(#"{"command":"setsid sleep 1000 & echo $!"}"#)
            let pid = try #require(pid_t(execd.texts("stdout", events)))
            #expect(!isGone(pid))
            kill(pid, SIGKILL)
        }
    }

    @Test func `a session's run that is ended takes nothing along that an earlier run has put apart`() async throws {
        try await LiveExecd.run { execd async throws in
            let session = try await execd.session()
            let server = try #require(
                pid_t(try await execd.output(session, "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!")))
            let run = #"{"command":"setsid sleep 1000 & echo $!; sleep 1000","timeout":1500}"#
            let events = execd.events(of: try await execd.call("POST", "/session/\(session)/run", run))
            let pid = try #require(pid_t(execd.texts("stdout", events)))
            #expect(try await eventually { isGone(pid) })
            #expect(!isGone(server))
            kill(server, SIGKILL)
        }
    }
}
