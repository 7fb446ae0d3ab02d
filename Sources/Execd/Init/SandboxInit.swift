import CLinux
import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The first process of a sandbox. It starts the API and the entrypoint, forwards signals, reaps orphans, and ends with
/// the entrypoint's exit code. It serves nothing itself, so that no client can crash it.
enum SandboxInit {
    /// Signals that are passed on to the entrypoint's group.
    private static let forwarded: [Int32] = [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH]
    /// Seconds that other processes get to end by themselves after the entrypoint.
    private static let grace = 2

    /// Returns the sandbox's exit code.
    static func run(_ options: Options, executable: String, environment: [ExactName: String]) -> Int32 {
        // Needed only where this is not the first process of its namespace (tests).
        _ = linux_set_child_subreaper(1)
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in forwarded + [SIGCHLD] { sigaddset(&signals, number) }
        sigprocmask(SIG_BLOCK, &signals, nil)

        let report = EndReport(descriptor: options.report)
        // Away from what the sandbox's limits hold: whatever its programs do to memory, processor and numbers, init and the
        // API go on.
        let failure = options.ownGroup.enter()
        guard failure == 0 else {
            complain("cannot enter a control group: \(String(cString: strerror(failure)))")
            return 125
        }
        let serving = ProcessSpec(
            arguments: [executable] + options.serving, environment: environment, rank: .server)
        // Start the entrypoint first. If it fails, the API never appears, so the sandbox is not taken to be running.
        let program = ProcessSpec(
            arguments: options.entrypoint, environment: environment, rank: .entrypoint,
            joins: options.commandGroup.descriptors)
        let entrypoint: pid_t
        var server: pid_t
        do throws(SpawnError) { entrypoint = try start(program) } catch {
            report.send(.notStarted(error))
            return 127
        }
        let passed = options.commandGroup.descriptors
        do throws(SpawnError) { server = try start(serving, passed) } catch {
            kill(-entrypoint, SIGKILL)
            return 125
        }
        while true {
            var number: Int32 = 0
            sigwait(&signals, &number)
            guard number == SIGCHLD else {
                kill(-entrypoint, number)
                continue
            }
            while let (pid, status) = reap() {
                if pid == entrypoint {
                    report.send(.ended(status))
                    return end(with: status.code)
                }
                // The API has ended: clients see a broken connection, and their next one works.
                if pid == server, let next = try? start(serving, passed) { server = next }
            }
        }
    }

    private static func start(_ spec: ProcessSpec, _ passed: [CInt] = []) throws(SpawnError) -> pid_t {
        do throws(SpawnError) {
            return try Spawn.start(spec, input: -1, output: STDOUT_FILENO, error: STDERR_FILENO, passed: passed)
        } catch {
            complain("cannot start \(error)")
            throw error
        }
    }

    private static func complain(_ text: String) {
        let line = "execd: \(text)\n"
        write(STDERR_FILENO, line, line.utf8.count)
    }

    private static func reap() -> (pid_t, ProcessExit)? {
        var state: Int32 = 0
        let pid = waitpid(-1, &state, WNOHANG)
        guard pid > 0 else { return nil }
        return (pid, ProcessExit(waited: state))
    }

    /// Signal all processes only as the first one of its namespace; elsewhere that would be the whole machine.
    private static func end(with code: Int32) -> Int32 {
        guard getpid() == 1 else { return code }
        kill(-1, SIGTERM)
        for _ in 0..<grace * 100 {
            usleep(10_000)
            while reap() != nil {}
            if kill(-1, 0) != 0 { break }
        }
        kill(-1, SIGKILL)
        return code
    }
}
