import CLinux
import Logging
import System

#if canImport(Glibc)
    import Glibc
#endif

/// A process that the supervisor keeps running.
package struct SupervisedProcess {
    package var name: String
    /// Its place on the board.
    package var index: Int
    /// The name of a process that must have been ready once before this one is started.
    package var predecessor: String?
    /// How long it may take to end after SIGTERM.
    package var patience: Duration
    /// Starts it. The process must inherit the descriptor and write a byte to it when it is ready.
    package var start: (_ ready: CInt) throws -> pid_t
    /// Called twice a second while it runs; nil for nothing.
    package var whileRunning: (() -> Void)?

    package init(
        name: String, index: Int, predecessor: String? = nil, patience: Duration = .seconds(7),
        start: @escaping (_ ready: CInt) throws -> pid_t, whileRunning: (() -> Void)? = nil
    ) {
        self.name = name
        self.index = index
        self.predecessor = predecessor
        self.patience = patience
        self.start = start
        self.whileRunning = whileRunning
    }
}

/// Keeps processes running, and ends them in order. It reads only signals and one byte from each process, has one thread,
/// and reaps every child, so that it can be the first process of a container.
package final class Supervisor {
    private struct Running {
        let process: SupervisedProcess
        var schedule = RestartSchedule()
        var pid: pid_t?
        var ready: CInt?
        var wasReady = false
        var startedAt = ContinuousClock.now
        /// When to start it; nil if no start is planned.
        var due: ContinuousClock.Instant?
    }

    /// A process ended before it was ever ready, so the start as a whole has failed.
    package struct StartFailure: Error {
        package let name: String
        package let status: CInt
    }

    private static let lookInterval = Duration.milliseconds(500)

    private var running: [Running]
    private let board: ProcessBoard
    private let logger: Logger
    private let signals: CInt
    /// Whether it was started at a terminal.
    private let terminal = StartTerminal()
    private var isEnding = false
    /// The process that is being ended (the last one first), and when it will be killed.
    private var ending: (place: Int, deadline: ContinuousClock.Instant)?
    private var hasSaidReady = false

    /// - Parameter processes: in the order in which they are started; they are ended in the reverse order.
    /// - Throws: `SupervisionError`.
    package init(_ processes: [SupervisedProcess], board: ProcessBoard, logger: Logger) throws(SupervisionError) {
        running = processes.map { Running(process: $0) }
        self.board = board
        self.logger = logger
        let wanted = [SIGCHLD, SIGTERM, SIGINT, SIGHUP]
        signals = linux_signal_descriptor(wanted, CInt(wanted.count))
        guard signals >= 0 else { throw SupervisionError("waiting for signals", code: -signals) }
    }

    deinit { close(signals) }

    /// Runs until SIGTERM or SIGINT has come, or its terminal has gone, and all processes have ended. Call it on the first
    /// thread: the children end with the thread that started them.
    /// - Parameters:
    ///   - whenReady: called once, when all are ready for the first time.
    ///   - whenHungUp: called for a SIGHUP.
    /// - Throws: `StartFailure`, when the other processes have been ended.
    package func run(whenReady: () -> Void, whenHungUp: () -> Void = {}) throws {
        for place in running.indices where running[place].process.predecessor == nil { running[place].due = .now }
        for one in running { board.set(one.process.index, .starting) }
        var failure: StartFailure?
        while true {
            startDue()
            if !hasSaidReady, running.allSatisfy(\.wasReady) {
                hasSaidReady = true
                whenReady()
            }
            wait()
            hearSignals(whenHungUp)
            hearReady()
            if let found = reap(), failure == nil {
                failure = found
                isEnding = true
            }
            if isEnding, end() { break }
        }
        if let failure { throw failure }
    }

    // MARK: starting

    private func startDue() {
        guard !isEnding else { return }
        for place in running.indices {
            guard let due = running[place].due, due <= .now else { continue }
            start(place)
        }
    }

    private func start(_ place: Int) {
        let process = running[place].process
        running[place].due = nil
        running[place].startedAt = .now
        var ends: [CInt] = [-1, -1]
        do {
            guard linux_pipe(&ends) == 0 else { throw SupervisionError.last("making a pipe") }
            running[place].pid = try process.start(ends[1])
            close(ends[1])
            running[place].ready = ends[0]
            board.set(process.index, .starting)
        } catch {
            if ends[0] >= 0 {
                close(ends[0])
                close(ends[1])
            }
            logger.error("a process cannot be started", metadata: ["part": "\(process.name)", "error": "\(error)"])
            scheduleRestart(place)
        }
    }

    private func scheduleRestart(_ place: Int) {
        let pause = running[place].schedule.pause(after: .now - running[place].startedAt)
        running[place].due = .now + pause
        board.set(running[place].process.index, .down)
        board.countRestart(of: running[place].process.index)
    }

    // MARK: waiting

    /// Waits until something happens or is due.
    private func wait() {
        var watched = [pollfd(fd: signals, events: Int16(POLLIN), revents: 0)]
        watched += running.compactMap { $0.ready.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) } }
        var next = running.compactMap(\.due)
        if let ending { next.append(ending.deadline) }
        let isCalling = running.contains { $0.process.whileRunning != nil && $0.pid != nil }
        if isCalling { next.append(.now + Self.lookInterval) }
        let milliseconds = next.min().map { moment -> CInt in
            let (seconds, attoseconds) = max(.zero, moment - .now).components
            return CInt(min(60_000, seconds * 1000 + attoseconds / 1_000_000_000_000_000 + 1))
        }
        if poll(&watched, nfds_t(watched.count), milliseconds ?? -1) == 0, isCalling {
            for one in running where one.pid != nil { one.process.whileRunning?() }
        }
    }

    private func hearSignals(_ hungUp: () -> Void) {
        while case let number = linux_read_signal(signals), number != 0 {
            guard number != SIGCHLD else { continue }
            if number == SIGHUP, !terminal.isGone {
                if !isEnding { hungUp() }
                continue
            }
            if isEnding {
                // The second signal: kill all at once.
                for one in running { if let pid = one.pid { kill(pid, SIGKILL) } }
            }
            isEnding = true
        }
    }

    private func hearReady() {
        for place in running.indices {
            guard let ready = running[place].ready else { continue }
            var watched = pollfd(fd: ready, events: Int16(POLLIN), revents: 0)
            guard poll(&watched, 1, 0) == 1 else { continue }
            var byte: UInt8 = 0
            let count = read(ready, &byte, 1)
            close(ready)
            running[place].ready = nil
            guard count == 1 else { continue }
            let name = running[place].process.name
            board.set(running[place].process.index, .ready)
            running[place].wasReady = true
            logger.debug("process ready", metadata: ["part": "\(name)", "pid": "\(running[place].pid ?? 0)"])
            for other in running.indices
            where running[other].process.predecessor == name && running[other].pid == nil && !running[other].wasReady {
                running[other].due = running[other].due ?? .now
            }
        }
    }

    // MARK: ending

    /// Reaps all children that have ended, including orphans whose parent this process has become.
    /// - Returns: the first one that ended before it was ready.
    private func reap() -> StartFailure? {
        var failure: StartFailure?
        var status: CInt = 0
        while case let pid = waitpid(-1, &status, WNOHANG), pid > 0 {
            guard let place = running.firstIndex(where: { $0.pid == pid }) else { continue }
            running[place].pid = nil
            if let ready = running[place].ready {
                close(ready)
                running[place].ready = nil
            }
            let name = running[place].process.name
            board.set(running[place].process.index, .down)
            guard !isEnding else {
                logger.debug("process ended", metadata: ["part": "\(name)", "end": "\(Self.text(status))"])
                continue
            }
            guard running[place].wasReady else {
                failure = failure ?? StartFailure(name: name, status: status)
                continue
            }
            logger.error(
                "a process has ended and is started again",
                metadata: ["part": "\(name)", "pid": "\(pid)", "end": "\(Self.text(status))"])
            scheduleRestart(place)
        }
        return failure
    }

    /// Ends the processes one after the other.
    /// - Returns: whether all have ended.
    private func end() -> Bool {
        while true {
            if let ending {
                guard let pid = running[ending.place].pid else {
                    self.ending = nil
                    continue
                }
                if ending.deadline <= .now {
                    logger.error(
                        "a process does not end in time and is killed",
                        metadata: ["part": "\(running[ending.place].process.name)"])
                    kill(pid, SIGKILL)
                    self.ending?.deadline = .now + .seconds(60)
                }
                return false
            }
            guard let place = running.lastIndex(where: { $0.pid != nil }) else { return true }
            kill(running[place].pid!, SIGTERM)
            // One that never served has nothing to finish.
            ending = (place, .now + (running[place].wasReady ? running[place].process.patience : .seconds(1)))
        }
    }

    private static func text(_ status: CInt) -> String {
        let signal = status & 0x7f
        return signal == 0 ? "exit code \(status >> 8 & 0xff)" : "signal \(signal)"
    }
}
