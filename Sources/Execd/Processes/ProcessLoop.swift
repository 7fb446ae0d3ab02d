import CLinux
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Starts processes and watches them. One thread reads all pipes and is notified of all exits.
///
/// When a process ends, the contents of its pipes are delivered before its end. So there is nothing to wait for
/// afterwards, and a grandchild that keeps a pipe open does not keep the command open.
final class ProcessLoop: Sendable {
    typealias Delivery = @Sendable (ProcessEvent) -> Void

    struct Running {
        var pid: pid_t
        var pidfd: CInt
        var pipes: [OutputStream: CInt]
        var pausesControl: Bool
        var deliver: Delivery
    }

    private enum Command {
        case watch(UInt64, Running)
        case pause(UInt64)
        case resume(UInt64)
    }

    private let poll: EventPoll
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
    /// - Parameters:
    ///   - control: its control channel, which the loop reads until the process ends.
    ///   - pausesControl: whether reading that pauses with the output, for one that carries much.
    func start(
        _ spec: ProcessSpec, control: ControlChannel? = nil, pausesControl: Bool = false, deliver: @escaping Delivery
    ) throws(SpawnError) -> RunningProcess {
        var output: [CInt] = [-1, -1], errors: [CInt] = [-1, -1]
        guard linux_pipe(&output) == 0 else { throw SpawnError(program: spec.arguments[0], code: EMFILE) }
        guard linux_pipe(&errors) == 0 else {
            let failure = SpawnError(program: spec.arguments[0], code: EMFILE)
            for descriptor in output { close(descriptor) }
            throw failure
        }
        defer {
            close(output[1])
            close(errors[1])
        }
        var pipes: [OutputStream: CInt] = [.standardOutput: output[0], .standardError: errors[0]]
        // The loop closes descriptors after reading, so it gets a duplicate.
        if let control { pipes[.control] = fcntl(control.near, F_DUPFD_CLOEXEC, 3) }
        // Makes only our ends non-blocking; the flag belongs to the open file, and each end of a pipe is a separate
        // one.
        for descriptor in [output[0], errors[0]] { _ = fcntl(descriptor, F_SETFL, O_NONBLOCK) }
        let pid: pid_t
        do throws(SpawnError) {
            guard pipes[.control] != -1 else { throw SpawnError(program: spec.arguments[0], code: EMFILE) }
            pid = try Spawn.start(spec, input: control?.far ?? -1, output: output[1], error: errors[1])
        } catch {
            for descriptor in pipes.values { close(descriptor) }
            throw error
        }
        let number = numbers.add(1, ordering: .relaxed).newValue
        commands.send(
            .watch(
                number,
                Running(
                    pid: pid, pidfd: linux_pidfd_open(pid), pipes: pipes, pausesControl: pausesControl,
                    deliver: deliver)))
        return RunningProcess(pid: pid, number: number, loop: self)
    }

    fileprivate func pause(_ number: UInt64) { commands.send(.pause(number)) }
    fileprivate func resume(_ number: UInt64) { commands.send(.resume(number)) }

    // MARK: On the thread

    /// Which descriptor of a process an event is for; part of the event's data.
    private enum Slot: UInt64 {
        case exit = 0
        case output = 1
        case error = 2
        case control = 3
    }

    private func run() {
        var running: [UInt64: Running] = [:]
        var events = EventPoll.events()
        while true {
            for event in events.prefix((try? poll.wait(&events)) ?? 0) {
                let number = event.data >> 2
                if number == 0 {
                    obey(&running)
                } else if let process = running[number] {
                    switch Slot(rawValue: event.data & 3) {
                    case .output: read(.standardOutput, number, &running)
                    case .error: read(.standardError, number, &running)
                    case .control:
                        drain(number, &running)
                        read(.control, number, &running)
                    case .exit, nil: finish(number, process, &running)
                    }
                }
            }
        }
    }

    private func obey(_ running: inout [UInt64: Running]) {
        for command in commands.take() {
            switch command {
            case .watch(let number, let process):
                running[number] = process
                for (stream, pipe) in process.pipes {
                    poll.add(pipe, token: number << 2 | slot(stream).rawValue)
                }
                poll.add(process.pidfd, token: number << 2)
            case .pause(let number):
                guard let process = running[number] else { continue }
                for (stream, pipe) in process.pipes where stream != .control || process.pausesControl {
                    poll.modify(pipe, 0, token: number << 2 | slot(stream).rawValue)
                }
            case .resume(let number):
                for (stream, pipe) in running[number]?.pipes ?? [:] {
                    poll.modify(pipe, LINUX_EPOLLIN, token: number << 2 | slot(stream).rawValue)
                }
            }
        }
    }

    private func slot(_ stream: OutputStream) -> Slot {
        switch stream {
        case .standardOutput: .output
        case .standardError: .error
        case .control: .control
        }
    }

    /// Reads once; closes the pipe at its end.
    @discardableResult
    private func read(_ stream: OutputStream, _ number: UInt64, _ running: inout [UInt64: Running]) -> Bool {
        guard let pipe = running[number]?.pipes[stream] else { return false }
        var length = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: 32 << 10) { buffer, filled in
            // The control channel's socket must stay blocking for its writer.
            length =
                stream == .control
                ? recv(pipe, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
                : Glibc.read(pipe, buffer.baseAddress, buffer.count)
            filled = max(length, 0)
        }
        if length > 0 {
            running[number]?.deliver(.output(stream, bytes))
            return true
        }
        if length == 0 || (errno != EAGAIN && errno != EINTR) {
            close(pipe)
            running[number]?.pipes[stream] = nil
        }
        return false
    }

    /// The most reads of a pipe after its process has ended. It holds 64 KiB, but others may go on writing.
    private static let maxReadAtEnd = 64

    private func drain(_ number: UInt64, _ running: inout [UInt64: Running]) {
        for stream in [OutputStream.standardOutput, .standardError] {
            for _ in 0..<Self.maxReadAtEnd {
                guard read(stream, number, &running) else { break }
            }
        }
    }

    private func finish(_ number: UInt64, _ process: Running, _ running: inout [UInt64: Running]) {
        var state: Int32 = 0
        guard waitpid(process.pid, &state, WNOHANG) == process.pid else { return }
        drain(number, &running)
        while read(.control, number, &running) {}
        for pipe in (running[number]?.pipes ?? [:]).values { close(pipe) }
        close(process.pidfd)
        running[number] = nil
        process.deliver(.ended(ProcessExit(waited: state)))
    }
}

/// A started process, for signals and back-pressure.
struct RunningProcess: Sendable {
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
    func signalGroup(_ signal: Int32) { kill(-pid, signal) }

    /// Its current folder; nil if unknown. Needs the same care as a signal.
    var currentFolder: String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = readlink("/proc/\(pid)/cwd", &buffer, buffer.count)
        return length > 0 ? String(decoding: buffer.prefix(length).map(UInt8.init(bitPattern:)), as: UTF8.self) : nil
    }

    /// Pauses reading its output, so that it blocks when its pipe is full.
    func pauseOutput() { loop.pause(number) }
    func resumeOutput() { loop.resume(number) }
}
