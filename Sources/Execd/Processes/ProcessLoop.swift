import CLinux
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Starts processes and watches them. One thread reads all pipes and terminals, writes input, and is notified of all
/// exits.
///
/// When a process ends, the contents of its pipes are delivered before its end. So there is nothing to wait for
/// afterwards, and a grandchild that keeps a pipe open does not keep the command open.
final class ProcessLoop: Sendable {
    typealias Delivery = @Sendable (ProcessEvent) -> Void

    struct Running {
        /// 0 for one that is another's child.
        var pid: pid_t
        var pidfd: CInt
        var wires: ProcessWires
        /// Those of `wires` that have not ended.
        var pipes: [OutputStream: CInt]
        var readSize = ProcessLoop.usualRead
        /// Those of `pipes` that have been made larger.
        var widened: Set<CInt> = []
        var queue = InputQueue()
        /// Its input is in the set of what is waited for.
        var isWaitingToWrite = false
        /// Its input ends when all that waits has been written.
        var inputEnds = false
        var deliver: Delivery
    }

    enum Command {
        case watch(UInt64, Running)
        case pause(UInt64)
        case resume(UInt64)
        case write(UInt64, [UInt8])
        case endInput(UInt64)
        case discardInput(UInt64, ControlChannel)
        case resize(UInt64, TerminalSize)
        case signalForeground(UInt64, CInt)
    }

    let poll: EventPoll
    private let commands: CommandQueue<Command>
    private let numbers = Atomic<UInt64>(0)

    /// The program's loop. Its thread lives as long as the process.
    static let shared = ProcessLoop()

    private init() {
        guard let poll = try? EventPoll(), let commands = try? CommandQueue<Command>() else {
            preconditionFailure("no descriptors are left to watch processes with")
        }
        self.poll = poll
        self.commands = commands
        self.poll.add(commands.descriptor, token: 0)
        do throws(SystemCallError) { try DetachedThread.start { [self] in run() } } catch {
            preconditionFailure("no thread is left to watch processes with")
        }
    }

    /// Starts a process. Its output and end are passed to `deliver` on the loop's thread.
    func start(
        _ spec: ProcessSpec, _ connection: Connection = .output, deliver: @escaping Delivery
    ) throws(SpawnError) -> RunningProcess {
        var wires = try ProcessWires(connection, for: spec.arguments[0], owner: spec.user)
        let pid: pid_t
        do throws(SpawnError) {
            let far = wires.far
            pid = try Spawn.start(spec, input: far.input, output: far.output, error: far.errors)
            wires.closeFar()
        } catch {
            wires.closeFar()
            wires.closeNear()
            throw error
        }
        let number = numbers.add(1, ordering: .relaxed).newValue
        commands.send(
            .watch(
                number,
                Running(pid: pid, pidfd: ExitDescriptor.open(pid), wires: wires, pipes: wires.pipes, deliver: deliver)))
        return RunningProcess(pid: pid, number: number, loop: self)
    }

    /// Watches a process that another one has started; how it ends is not known then.
    /// - Parameters: a descriptor of it, and its wires, which belong to the loop from now on.
    func watch(_ pidfd: CInt, _ wires: ProcessWires, deliver: @escaping Delivery) -> RunningProcess {
        let number = numbers.add(1, ordering: .relaxed).newValue
        commands.send(
            .watch(number, Running(pid: 0, pidfd: pidfd, wires: wires, pipes: wires.pipes, deliver: deliver)))
        return RunningProcess(pid: 0, number: number, loop: self)
    }

    fileprivate func send(_ command: Command) { commands.send(command) }

    // MARK: On the thread

    /// Which descriptor of a process an event is for; part of the event's data.
    enum Slot: UInt64 {
        case exit = 0
        case output = 1
        case error = 2
        case control = 3
        case terminal = 4
        case input = 5

        static let bits: UInt64 = 3

        init(_ stream: OutputStream) {
            self =
                switch stream {
                case .standardOutput: .output
                case .standardError: .error
                case .control: .control
                case .terminal: .terminal
                }
        }

        func token(_ number: UInt64) -> UInt64 { number << Self.bits | rawValue }
    }

    private func run() {
        // A process may close its input while it is written to.
        linux_block_sigpipe()
        var running: [UInt64: Running] = [:]
        var events = EventPoll.events()
        while true {
            for event in events.prefix((try? poll.wait(&events)) ?? 0) {
                let number = event.data >> Slot.bits
                if number == 0 {
                    for command in commands.take() { obey(command, &running) }
                } else if running[number] != nil {
                    switch Slot(rawValue: event.data & (1 << Slot.bits - 1)) {
                    case .output: read(.standardOutput, number, &running)
                    case .error: read(.standardError, number, &running)
                    case .terminal: read(.terminal, number, &running)
                    case .control:
                        drain(number, &running)
                        read(.control, number, &running)
                    case .input: flush(number, &running)
                    case .exit, nil: finish(number, &running)
                    }
                }
            }
        }
    }

    private func obey(_ command: Command, _ running: inout [UInt64: Running]) {
        switch command {
        case .watch(let number, let process):
            running[number] = process
            for (stream, pipe) in process.pipes { poll.add(pipe, token: Slot(stream).token(number)) }
            poll.add(process.pidfd, token: Slot.exit.token(number))
        case .pause(let number): setReading(false, number, &running)
        case .resume(let number): setReading(true, number, &running)
        case .write(let number, let bytes): write(bytes, number, &running)
        case .endInput(let number):
            running[number]?.inputEnds = true
            flush(number, &running)
        case .discardInput(let number, let channel): discardInput(channel, number, &running)
        case .resize(let number, let size):
            guard let master = running[number]?.pipes[.terminal] else { break }
            _ = linux_set_terminal_size(master, size.columns, size.rows)
        case .signalForeground(let number, let signal): signalForeground(signal, number, &running)
        }
    }

    private func setReading(_ isReading: Bool, _ number: UInt64, _ running: inout [UInt64: Running]) {
        guard let process = running[number] else { return }
        for (stream, pipe) in process.pipes where isReading || stream != .control || process.wires.pausesControl {
            poll.modify(pipe, isReading ? LINUX_EPOLLIN : 0, token: Slot(stream).token(number))
        }
    }

    private func finish(_ number: UInt64, _ running: inout [UInt64: Running]) {
        guard let process = running[number] else { return }
        var state: Int32 = SIGKILL
        guard process.pid == 0 || waitpid(process.pid, &state, WNOHANG) == process.pid else { return }
        // What a terminal still has is read up to its end, which comes only when nobody has it open.
        running[number]?.wires.closeKept()
        drain(number, &running)
        for _ in 0..<Self.maxReadAtEnd { guard read(.control, number, &running) else { break } }
        // By name: a control channel may be kept open by its owner, and the loop would hear of it for ever.
        for pipe in (running[number]?.pipes ?? [:]).values {
            poll.remove(pipe)
            close(pipe)
        }
        if running[number]?.isWaitingToWrite == true { poll.remove(process.wires.input) }
        running[number]?.wires.closeInput()
        close(process.pidfd)
        running[number] = nil
        process.deliver(.ended(ProcessExit(waited: state)))
    }
}

/// A started process, for signals, input and back-pressure.
struct RunningProcess: Sendable {
    /// 0 for one that is another's child, which gets no signals by this.
    let pid: pid_t
    private let number: UInt64
    private let loop: ProcessLoop

    fileprivate init(pid: pid_t, number: UInt64, loop: ProcessLoop) {
        self.pid = pid
        self.number = number
        self.loop = loop
    }

    /// Signals the process's whole group. The caller must make sure that the end has not been delivered yet, after
    /// which the number may be reused.
    func signalGroup(_ signal: Int32) { if pid > 0 { kill(-pid, signal) } }

    /// Its current folder; nil if unknown. Needs the same care as a signal.
    var currentFolder: String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = readlink("/proc/\(pid)/cwd", &buffer, buffer.count)
        return length > 0 ? String(decoding: buffer.prefix(length).map(UInt8.init(bitPattern:)), as: UTF8.self) : nil
    }

    /// Pauses reading its output, so that it blocks when its pipe is full.
    func pauseOutput() { loop.send(.pause(number)) }
    func resumeOutput() { loop.send(.resume(number)) }

    // What follows is for processes with input or a terminal, and does nothing once they have ended.

    /// Writes to its input as it is read. What has been taken is delivered as `took`.
    func write(_ bytes: [UInt8]) { loop.send(.write(number, bytes)) }
    /// Ends its input behind what has been written. Nothing can be written after it.
    func endInput() { loop.send(.endInput(number)) }
    /// Drops what has been written to its control channel and not been read.
    func discardInput(of channel: ControlChannel) { loop.send(.discardInput(number, channel)) }
    func resize(_ size: TerminalSize) { loop.send(.resize(number, size)) }
    /// Signals the group in the foreground of its terminal, or its own without one.
    func signalForeground(_ signal: CInt) { loop.send(.signalForeground(number, signal)) }
}
