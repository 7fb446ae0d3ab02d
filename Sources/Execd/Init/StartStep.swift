import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Why a sandbox ended before its program was started.
struct StartFailure: Error, Hashable {
    /// What init ends with.
    let code: Int32
    let reason: String
}

/// Runs programs to their end, one at a time, before the sandbox's own: what the start needs. Whatever else ends meanwhile is
/// reaped.
struct StartStep {
    enum End: Hashable {
        case ended(ProcessExit)
        case late
    }

    let signals: InitSignals

    /// - Parameters:
    ///   - seconds: after which it is killed with its group; nil for no limit.
    ///   - passed: descriptors that it has as 3, 4 and so on.
    /// - Throws: `StartFailure` where it cannot be started, or init is told to end.
    func run(_ spec: ProcessSpec, within seconds: Int? = nil, passed: [CInt] = []) throws(StartFailure) -> End {
        let process: pid_t
        do throws(SpawnError) {
            process = try Spawn.start(spec, output: STDOUT_FILENO, error: STDERR_FILENO, passed: passed)
        } catch {
            throw StartFailure(code: 127, reason: "cannot start \(error)")
        }
        let end = seconds.map { SystemClock.monotonicMilliseconds() + UInt64($0) * 1000 }
        while true {
            let rest = end.map { Int($0) - Int(SystemClock.monotonicMilliseconds()) }
            if let rest, rest <= 0 {
                kill(-process, SIGKILL)
                _ = ProcessExit(waitingFor: process)
                return .late
            }
            switch signals.next(within: rest) {
            case SIGCHLD?:
                while let (ended, status) = signals.reap() {
                    if ended == process { return .ended(status) }
                }
            case let number? where Self.ends(number):
                kill(-process, SIGKILL)
                _ = ProcessExit(waitingFor: process)
                throw Self.told(number)
            default: break
            }
        }
    }

    /// Waits until something is so.
    /// - Returns: whether it came to be in time.
    func wait(within seconds: Int, until isSo: () -> Bool) throws(StartFailure) -> Bool {
        let end = SystemClock.monotonicMilliseconds() + UInt64(seconds) * 1000
        while !isSo() {
            guard SystemClock.monotonicMilliseconds() < end else { return false }
            switch signals.next(within: 20) {
            case SIGCHLD?: while signals.reap() != nil {}
            case let number? where Self.ends(number): throw Self.told(number)
            default: break
            }
        }
        return true
    }

    private static func ends(_ number: CInt) -> Bool { [SIGTERM, SIGINT, SIGQUIT].contains(number) }

    private static func told(_ number: CInt) -> StartFailure {
        StartFailure(code: 128 + number, reason: "told to end before the sandbox's program was started")
    }
}
