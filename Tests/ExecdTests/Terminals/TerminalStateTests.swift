import NIOCore
import System
import Testing

@testable import Execd

/// Who is let in, what each client gets, and when its connection ends: without a shell.
struct TerminalStateTests {
    private var holding = TerminalQuery()
    private var taking: TerminalQuery {
        var query = TerminalQuery()
        query.takesOver = true
        return query
    }
    private var watching: TerminalQuery {
        var query = TerminalQuery()
        query.role = .viewer
        return query
    }

    private func running() throws -> (TerminalState, holder: TerminalState.ClientID) {
        var state = TerminalState()
        let (client, _) = try state.attach(holding)
        let number = try launch(&state, client, .pty)
        expectRuns(&state, number)
        return (state, client)
    }

    private func launch(
        _ state: inout TerminalState, _ client: TerminalState.ClientID, _ mode: TerminalMode
    ) throws -> Int {
        let number = state.launch(for: client, mode)
        return try #require(number)
    }

    private func expectRuns(_ state: inout TerminalState, _ launch: Int) {
        let runs = state.launched(launch)
        #expect(runs)
    }

    /// What a client is sent, each as a short text.
    private func all(_ state: inout TerminalState, _ client: TerminalState.ClientID) -> [String] {
        var texts: [String] = []
        while let delivery = state.next(for: client) {
            switch delivery {
            case .connected(let mode, let role): texts.append("\(mode) \(role)")
            case .notice(let notice): texts.append(notice.code ?? notice.type)
            case .end(.exited(let exit)):
                texts.append("exit \(exit.code)")
                return texts
            case .end(let end):
                texts.append("\(end)")
                return texts
            case .bytes(var frame):
                let kind = frame.readInteger(as: UInt8.self)!
                let offset = kind == 3 ? "@\(frame.readInteger(as: Int64.self)!)" : ""
                let size = frame.readableBytes > 40 ? "\(frame.readableBytes) bytes" : String(buffer: frame)
                texts.append("\(kind)\(offset) \(size)")
            }
        }
        return texts
    }

    private func put(_ state: inout TerminalState, _ text: String, _ stream: OutputStream = .terminal) {
        state.append(Array(text.utf8), of: stream) { _ in true }
    }

    @Test func `output comes live, and what a client has missed in one frame before that`() throws {
        var (state, holder) = try running()
        put(&state, "one")
        #expect(all(&state, holder) == ["pty holder", "1 one"])
        state.detach(holder)
        put(&state, "two")
        var back = TerminalQuery()
        back.since = 3
        let (again, _) = try state.attach(back)
        put(&state, "three")
        #expect(all(&state, again) == ["3@3 two", "pty holder", "1 three"])
        back.since = .max
        back.takesOver = true
        let (third, _) = try state.attach(back)
        #expect(all(&state, third) == ["pty holder"], "nothing is beyond the end")
    }

    @Test func `one client holds a terminal, until another takes its place`() throws {
        var (state, first) = try running()
        #expect(throws: TerminalRefusal.held) { try state.attach(holding) }
        let (second, evicted) = try state.attach(taking)
        #expect(evicted == first && state.holder == second)
        put(&state, "x")
        #expect(all(&state, first) == ["takenOver"], "nothing but its end")
        let (old, new) = (state.mayType(first), state.mayType(second))
        #expect(!old && new)
        state.detach(first)
        #expect(state.holder == second)
        #expect(all(&state, second) == ["pty holder", "1 x"])
    }

    @Test func `viewers see each byte with its offset, and may not type`() throws {
        var (state, holder) = try running()
        put(&state, "abc")
        let (viewer, evicted) = try state.attach(watching)
        #expect(evicted == nil && state.holder == holder)
        put(&state, "d")
        #expect(all(&state, viewer) == ["3@0 abc", "pty viewer", "3@3 d"])
        let allowed = (0..<5).filter { _ in state.mayType(viewer) }
        #expect(allowed.isEmpty)
        #expect(all(&state, viewer) == Array(repeating: "READ_ONLY", count: 5))
        let sixth = state.mayType(viewer), mayHolder = state.mayType(holder)
        #expect(!sixth && mayHolder)
        #expect(all(&state, viewer) == ["readOnly"])
    }

    @Test func `a viewer starts no shell, and a deleted terminal lets nobody in`() throws {
        var state = TerminalState()
        #expect(throws: TerminalRefusal.notRunning) { try state.attach(watching) }
        state.delete()
        #expect(throws: TerminalRefusal.deleted) { try state.attach(holding) }
        #expect(throws: TerminalRefusal.deleted) { try state.attach(watching) }
    }

    @Test func `a client that falls behind is told where it goes on`() throws {
        var (state, holder) = try running()
        #expect(all(&state, holder) == ["pty holder"])
        put(&state, String(repeating: "x", count: 3 << 20))
        let frames = all(&state, holder)
        #expect(frames.first == "3@\(2 << 20) 32768 bytes" && frames.dropFirst().allSatisfy { $0 == "1 32768 bytes" })
        #expect(frames.count == 32)
    }

    @Test func `streams come apart live, and together afterwards`() throws {
        var state = TerminalState()
        let (client, _) = try state.attach(holding)
        let number = try launch(&state, client, .pipe)
        expectRuns(&state, number)
        put(&state, "a", .standardOutput)
        put(&state, "bb", .standardError)
        put(&state, "c", .standardOutput)
        #expect(all(&state, client) == ["pipe holder", "1 a", "2 bb", "1 c"])
        let (next, _) = try state.attach(taking)
        #expect(all(&state, next) == ["3@0 abbc", "pipe holder"])
    }

    @Test func `the end comes after all output, to all, and the next client starts another shell`() throws {
        var (state, holder) = try running()
        let (viewer, _) = try state.attach(watching)
        put(&state, "last")
        state.ended(.exited(7))
        #expect(state.holder == nil && state.phase == .idle)
        let (next, _) = try state.attach(holding)
        let none = state.launch(for: holder, .pty)
        #expect(none == nil, "who saw the end starts nothing")
        let number = try launch(&state, next, .pipe)
        expectRuns(&state, number)
        put(&state, "new", .standardOutput)
        #expect(all(&state, holder) == ["pipe holder", "1 last", "exit 7"])
        #expect(all(&state, viewer) == ["pipe viewer", "3@0 last", "exit 7"])
        #expect(all(&state, next) == ["3@0 last", "pipe holder", "1 new"])
    }

    @Test func `a shell that has ended before its start was noticed is not taken to run`() throws {
        var state = TerminalState()
        let (client, _) = try state.attach(holding)
        let number = try launch(&state, client, .pty)
        state.ended(.exited(0))
        let runs = state.launched(number)
        #expect(!runs && state.phase == .idle)
        #expect(all(&state, client) == ["pty holder", "exit 0"])
    }

    @Test func `a shell that does not start leaves the terminal free`() throws {
        var state = TerminalState()
        let (client, _) = try state.attach(holding)
        _ = try launch(&state, client, .pty)
        state.failedToLaunch()
        #expect(state.holder == nil && state.lastLaunchFailed)
        state.detach(client)
        let (next, _) = try state.attach(holding)
        let number = try launch(&state, next, .pty)
        expectRuns(&state, number)
        #expect(!state.lastLaunchFailed)
    }

    @Test func `answers wait in front of output, and not without end`() throws {
        var (state, holder) = try running()
        #expect(all(&state, holder) == ["pty holder"])
        put(&state, "x")
        for _ in 0..<1000 { state.tell(holder, .pong) }
        #expect(all(&state, holder) == Array(repeating: "pong", count: TerminalState.maxNotices) + ["1 x"])
        state.failInput("full")
        #expect(all(&state, holder) == [#"inputFailed("full")"#] && state.holder == nil)
    }

    @Test func `input waits for a shell that reads, not for one that does not`() {
        var flow = InputFlow()
        func add(_ bytes: Int) -> Bool { flow.add(bytes) }
        #expect(add(InputFlow.muchWaiting) && !flow.hasToWait)
        #expect(add(1) && flow.hasToWait)
        flow.patienceEnds(since: 0)
        #expect(!flow.hasToWait, "nothing was taken: signals behind it are to be heard")
        flow.took(1)
        #expect(add(1) && flow.hasToWait, "it reads again")
        #expect(add(InputFlow.maxWaiting) && !add(1), "there is no more room")
        flow.end()
        #expect(flow.waiting == 0 && add(1))
    }
}
