import CLinux
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The size of a terminal, in characters.
struct TerminalSize: Hashable, Sendable {
    var columns: UInt16
    var rows: UInt16

    /// What terminals have had since there were screens, and the contract's.
    static let standard = TerminalSize(columns: 80, rows: 24)
}

/// How a process is connected to execd.
enum Connection: Sendable {
    /// Output and errors come by pipes; there is no input.
    case output
    /// The same, and its standard input is a socket, which the loop reads until the process ends, and writes; `pauses`: it is not read
    /// while output is paused, for one that carries much.
    case control(ControlChannel, pauses: Bool = false)
    /// Pipes for all three.
    case pipes
    /// All three are a terminal, which belongs to this user (nil: execd's).
    case terminal(TerminalSize, owner: UInt32?)
}

/// The descriptors of one process, at both ends. Ours do not block; the flag belongs to the open file, and each end is a
/// separate one.
struct ProcessWires {
    /// What the loop reads.
    private(set) var pipes: [OutputStream: CInt] = [:]
    /// What the loop writes; -1 for none.
    private(set) var input: CInt = -1
    /// A terminal's side of the programs. Kept open until the process ends, so that the terminal outlives a moment in
    /// which no program has it open.
    private(set) var kept: CInt = -1
    private(set) var pausesControl = false
    /// The process's standard input, output and errors; -1 for none.
    private(set) var far: (input: CInt, output: CInt, errors: CInt) = (-1, -1, -1)
    private var closedAfterStart: [CInt] = []

    /// - Parameter owner: as whom the program runs; nil: as execd. Pipes are given to it: whoever opens one again by its name, as
    ///   /dev/stdin and /dev/stdout are, needs the rights to it.
    /// - Throws: the errno of what could not be made; then nothing is open.
    init(_ connection: Connection, for program: String, owner: UInt32? = nil) throws(SpawnError) {
        do throws(SystemCallError) {
            switch connection {
            case .output: try addOutput(owner)
            case .control(let channel, let pauses):
                try addOutput(owner)
                pausesControl = pauses
                // The loop closes descriptors after reading and writing, so it gets duplicates.
                pipes[.control] = try Self.check(fcntl(channel.near, F_DUPFD_CLOEXEC, 3))
                input = try Self.check(fcntl(channel.near, F_DUPFD_CLOEXEC, 3))
                far.input = channel.far
            case .pipes:
                try addOutput(owner)
                (far.input, input) = try Self.pipe(owner)
                closedAfterStart.append(far.input)
                _ = fcntl(input, F_SETFL, O_NONBLOCK)
            case .terminal(let size, let owner): try addTerminal(size, owner)
            }
        } catch {
            closeFar()
            closeNear()
            throw SpawnError(program: program, code: error.code)
        }
    }

    private mutating func addOutput(_ owner: UInt32?) throws(SystemCallError) {
        for stream in [OutputStream.standardOutput, .standardError] {
            let (near, end) = try Self.pipe(owner)
            pipes[stream] = near
            if stream == .standardOutput { far.output = end } else { far.errors = end }
            closedAfterStart.append(end)
            _ = fcntl(near, F_SETFL, O_NONBLOCK)
        }
    }

    private mutating func addTerminal(_ size: TerminalSize, _ owner: UInt32?) throws(SystemCallError) {
        let master = try Self.check(linux_open_terminal(&kept))
        pipes[.terminal] = master
        // Before the program can ask for it.
        let status = linux_set_terminal_size(master, size.columns, size.rows)
        guard status == 0 else { throw SystemCallError(code: -status) }
        if let owner, fchown(kept, owner, .max) != 0 { throw SystemCallError(code: errno) }
        // A number of its own, since reading and writing are waited for each by itself.
        input = try Self.check(fcntl(master, F_DUPFD_CLOEXEC, 3))
        far = (kept, kept, kept)
    }

    /// When the process has started, or has not.
    mutating func closeFar() {
        for descriptor in closedAfterStart { close(descriptor) }
        closedAfterStart = []
    }

    /// When the process has not started.
    mutating func closeNear() {
        for pipe in pipes.values { close(pipe) }
        pipes = [:]
        closeInput()
        closeKept()
    }

    mutating func closeInput() {
        if input >= 0 { close(input) }
        input = -1
    }

    mutating func closeKept() {
        if kept >= 0 { close(kept) }
        kept = -1
    }

    // MARK: -

    private static func check(_ result: CInt) throws(SystemCallError) -> CInt {
        guard result >= 0 else { throw SystemCallError(code: result == -1 ? errno : -result) }
        return result
    }

    private static func pipe(_ owner: UInt32?) throws(SystemCallError) -> (reading: CInt, writing: CInt) {
        var ends: [CInt] = [-1, -1]
        let status = linux_pipe(&ends)
        guard status == 0 else { throw SystemCallError(code: -status) }
        // Both ends are one file. Who may not give it away cannot start a program as another either.
        if let owner { _ = fchown(ends[0], owner, .max) }
        return (ends[0], ends[1])
    }
}
