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
    /// Takes output, whose bytes are there during the call only.
    typealias OutputDelivery = @Sendable (OutputStream, UnsafeRawBufferPointer) -> Void

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
        /// nil: output is delivered as the other events are.
        var output: OutputDelivery?
        var deliver: Delivery
    }

    enum Command {
        case pause(UInt64)
        case resume(UInt64)
        case write(UInt64, [UInt8])
        case endInput(UInt64)
        case discardInput(UInt64, ControlChannel)
        case resize(UInt64, TerminalSize)
        case signalForeground(UInt64, CInt)
    }

    let poll: EventPoll
    let buffers = OutputBuffers()
    /// What has been read; of its thread alone.
    nonisolated(unsafe) let space = UnsafeMutableRawBufferPointer.allocate(byteCount: largeRead, alignment: 16)
    private let commands: CommandQueue<Command>
    private let numbers = Atomic<UInt64>(0)
    /// Those that have begun and that the thread does not know yet. It looks here whenever it wakes, so that nobody wakes it for
    /// them alone.
    private let begun = Mutex<[(number: UInt64, process: Running)]>([])

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

    /// Starts a process. Its output and end are passed to `deliver` on the loop's thread, or its output to `output`.
    func start(
        _ spec: ProcessSpec, _ connection: Connection = .output, output: OutputDelivery? = nil,
        deliver: @escaping Delivery
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
        return watch(
            Running(
                pid: pid, pidfd: ExitDescriptor.open(pid), wires: wires, pipes: wires.pipes, output: output,
                deliver: deliver))
    }

    /// Watches a process that another one has started; how it ends is not known then.
    /// - Parameters: a descriptor of it, and its wires, which belong to the loop from now on.
    func watch(_ pidfd: CInt, _ wires: ProcessWires, deliver: @escaping Delivery) -> RunningProcess {
        watch(Running(pid: 0, pidfd: pidfd, wires: wires, pipes: wires.pipes, deliver: deliver))
    }

    private func watch(_ process: Running) -> RunningProcess {
        let number = numbers.add(1, ordering: .relaxed).newValue
        begun.withLock { $0.append((number, process)) }
        for (stream, pipe) in process.pipes where stream != .control {
            poll.add(pipe, token: Slot(stream).token(number))
        }
        // Behind them: what comes there has them read, and closed where they have ended.
        if let pipe = process.pipes[.control] { poll.add(pipe, token: Slot.control.token(number)) }
        // Last, since it may be over then, and all its descriptors closed.
        poll.add(process.pidfd, token: Slot.exit.token(number))
        return RunningProcess(pid: process.pid, number: number, loop: self)
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

        static let bits: UInt64 = 3, mask: UInt64 = 1 << bits - 1

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

    /// After so many milliseconds without an event, memory for output is let go of.
    private static let rest: CInt = 1000

    private func run() {
        // A process may close its input while it is written to.
        linux_block_sigpipe()
        var running: [UInt64: Running] = [:]
        var events = EventPoll.events()
        while true { turn(&events, &running) }
    }

    private func turn(_ events: inout [EventPoll.Event], _ running: inout [UInt64: Running]) {
        // Before the events are looked at: in one expression with them it would be those of the wait before.
        let count = (try? poll.wait(&events, milliseconds: buffers.isUsed ? Self.rest : -1)) ?? 0
        if count == 0 { buffers.letGo() }
        admit(&running)
        // Ends first: what a process has printed is read then, too, and its client waits for nothing else.
        for index in 0..<count where events[index].data & Slot.mask == Slot.exit.rawValue {
            let number = events[index].data >> Slot.bits
            if number != 0 { finish(number, &running) }
        }
        for index in 0..<count {
            let event = events[index], number = event.data >> Slot.bits
            if number == 0 {
                let taken = commands.take()
                // What is told to a process was sent when it had begun.
                admit(&running)
                for command in taken { obey(command, &running) }
            } else if running[number] != nil {
                switch Slot(rawValue: event.data & Slot.mask) {
                case .output: read(.standardOutput, number, &running)
                case .error: read(.standardError, number, &running)
                case .terminal: read(.terminal, number, &running)
                case .control:
                    drain(number, &running)
                    read(.control, number, &running)
                case .input: flush(number, &running)
                case .exit, nil: break
                }
            }
        }
    }

    private func admit(_ running: inout [UInt64: Running]) {
        let new = begun.withLock { begun in
            defer { begun = [] }
            return begun
        }
        for (number, process) in new { running[number] = process }
    }

    private func obey(_ command: Command, _ running: inout [UInt64: Running]) {
        switch command {
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
        var left = running.removeValue(forKey: number)
        process.deliver(.ended(ProcessExit(waited: state)))
        // By name: a control channel may be kept open by its owner, and the loop would hear of it for ever.
        for pipe in (left?.pipes ?? [:]).values {
            poll.remove(pipe)
            close(pipe)
        }
        if left?.isWaitingToWrite == true { poll.remove(process.wires.input) }
        left?.wires.closeInput()
        close(process.pidfd)
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
