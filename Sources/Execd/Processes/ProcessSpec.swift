import Spelling
import System

#if canImport(Glibc)
    import Glibc
#endif

/// What to run, and as whom.
struct ProcessSpec: Hashable, Sendable {
    /// The program (looked up in `PATH` if it has no slash) and its arguments.
    var arguments: [String]
    /// `NAME=value` by name.
    var environment: [ExactName: String]
    /// nil keeps execd's.
    var directory: String?
    var user: UInt32?
    var group: UInt32?
    var rank = Rank.command
    /// Descriptors of the control group that it is to be in (`MemberFiles`); empty: execd's own.
    var joins: [CInt] = []
    /// Whether its standard input is a terminal that it controls, as the leader of a session of its own.
    var controlsTerminal = false
    /// Whether it keeps what builds isolated sessions, where this process has it: for execd's own parts alone.
    var keepsRights = false

    static let defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
}

/// Which processes the kernel kills first when a sandbox's memory runs out: oom_score_adj (proc(5)), in thousandths of
/// the memory limit. Init starts with 500. A process may raise its score but never lower it below what it inherited, so
/// no process can be spared at another's expense.
enum Rank: Int32, Hashable, Sendable {
    /// execd's server, which init restarts.
    case server = 600
    /// The sandbox ends with it.
    case entrypoint = 750
    case command = 1000
}

/// The source of output.
enum OutputStream: Hashable, Sendable {
    case standardOutput, standardError
    /// The socket that is the standard input of a process with a control channel.
    case control
    /// A terminal, to which both standard output and standard error go.
    case terminal
}

/// What a running process brings, in order; the exit comes last and once. What it wrote before something on its control
/// channel comes before that.
enum ProcessEvent: Hashable, Sendable {
    case output(OutputStream, [UInt8])
    /// It, or its terminal, has taken so many bytes of input.
    case took(Int)
    /// It will read no more input.
    case refusedInput
    case ended(ProcessExit)
}

/// Why a process did not start: the call's errno.
struct SpawnError: Error, Hashable, Sendable, CustomStringConvertible {
    let program: String
    let code: Int32

    var description: String { "\(program): \(String(cString: strerror(code)))" }
}
