import Spelling
import Synchronization
import System
import Testing

@testable import Execd

/// Interrupts and deletions that come before a kernel has its run.
@Suite struct EarlyInterruptTests {
    /// Bash, whose start takes until it is told to go on.
    private struct SlowDialogue: DriverDialogue {
        let base = ShellCodeDialogue(shell: "/bin/bash")
        let started = Semaphore()
        let mayStart = Semaphore()

        var commands: [[String]] {
            started.signal()
            mayStart.wait()
            return base.commands
        }
        var variables: [ExactName: String] { base.variables }
        var greeting: String { base.greeting }

        func begin(_ run: UInt64, _ code: String, variables: [ExactName: String]) -> String {
            base.begin(run, code, variables: variables)
        }

        func message(_ line: ArraySlice<UInt8>) -> [DriverMessage] { base.message(line) }
    }

    private func failures(of run: KernelRun) async -> [String] {
        var names: [String] = []
        for await case .failed(let failure) in run.events { names.append(failure.name) }
        return names
    }

    /// Begins a run, and calls `act` on another thread while its process is being started.
    private func run(_ code: String, meanwhile act: @escaping @Sendable (ProcessKernel) async -> Void) async -> [String]
    {
        let dialogue = SlowDialogue()
        let kernel = ProcessKernel(dialogue, folder: nil, runner: CommandRunner(environment: CommandEnvironment([:])))
        async let run = kernel.execute(code)
        let acted = Task.detached {
            await WorkerPool(maxThreads: 1).run { dialogue.started.wait() }
            await act(kernel)
            dialogue.mayStart.signal()
        }
        let names = await failures(of: run)
        await acted.value
        await kernel.close()
        return names
    }

    @Test func `who interrupts does not wait for a process that is being started, and the run ends`() async {
        #expect(await run("sleep 100000") { $0.interrupt() } == ["KeyboardInterrupt"])
    }

    @Test func `a context that is deleted while its process is being started leaves none`() async {
        #expect(await run("sleep 100000") { await $0.close() } == ["KernelDied"])
    }

    /// Takes its runs when it is told to, and counts interrupts.
    private final class SlowKernel: CodeKernel {
        private struct State {
            var events: AsyncStream<KernelEvent>.Continuation?
            var interrupts = 0
        }
        private let state = Mutex(State())
        private let (asked, askedContinuation) = AsyncStream<Void>.makeStream()
        private let (go, goContinuation) = AsyncStream<Void>.makeStream()

        func isAsked() async { for await _ in asked { return } }
        func takesRun() { goContinuation.finish() }
        var interrupts: Int { state.withLock { $0.interrupts } }

        func execute(_ code: String) async -> KernelRun {
            askedContinuation.finish()
            for await _ in go {}
            let (events, continuation) = AsyncStream<KernelEvent>.makeStream()
            state.withLock { $0.events = continuation }
            return KernelRun(events: events) { _ in }
        }

        func interrupt() {
            state.withLock { state in
                state.interrupts += 1
                state.events?.finish()
            }
        }

        func close() async { interrupt() }
    }

    @Test(arguments: [false, true]) func `an interrupt that comes before the kernel has the run is not lost`(
        isClientGone: Bool
    ) async throws {
        let kernel = SlowKernel()
        let context = CodeContext(id: "c", language: .bash, languageName: "bash", folder: nil, kernel: kernel)
        let turn = try context.enter()
        #expect(await turn.comes)
        async let run = context.execute("sleep 100000", turn)
        await kernel.isAsked()
        if isClientGone { context.abandon(turn) } else { context.interrupt() }
        #expect(kernel.interrupts == 0)
        kernel.takesRun()
        for await _ in await run.events {}
        #expect(kernel.interrupts == 1)
        context.leave(turn)
    }
}
