import JSON
import NIOCore
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Whether a client types and sees, or only sees.
enum TerminalRole: String, Hashable, Sendable, Encodable {
    case holder, viewer
}

/// What a shell is connected to.
enum TerminalMode: String, Hashable, Sendable, Encodable {
    case pty, pipe
}

/// The binary messages of a terminal (docs/execd.md#terminals).
enum TerminalFrame {
    /// The first byte.
    enum Kind: UInt8 {
        case input = 0
        case output = 1
        case errors = 2
        case replay = 3
    }

    /// Bytes of output in one message, but for those of a replay.
    static let maxPayload = 32 << 10

    /// Output as it comes. Where its stream is forgotten, it goes with its offset.
    static func live(_ ring: OutputRing, _ range: Range<Int>, of stream: OutputStream?) -> ByteBuffer {
        guard let stream else { return replay(ring, range) }
        return frame(stream == .standardError ? .errors : .output, ring, range)
    }

    /// Output with its offset.
    static func replay(_ ring: OutputRing, _ range: Range<Int>) -> ByteBuffer { frame(.replay, ring, range) }

    private static func frame(_ kind: Kind, _ ring: OutputRing, _ range: Range<Int>) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.reserveCapacity(range.count + 9)
        buffer.writeInteger(kind.rawValue)
        if kind == .replay { buffer.writeInteger(Int64(range.lowerBound)) }
        ring.withBytes(range) { buffer.writeBytes($1) }
        return buffer
    }
}

/// The text messages of a terminal to its client.
struct TerminalNotice: Encodable, Hashable, Sendable {
    var type: String
    var session_id: String?
    var mode: TerminalMode?
    var role: TerminalRole?
    var exit_code: Int32?
    var signal: String?
    var error: String?
    var code: String?

    static let pong = TerminalNotice(type: "pong")

    static func connected(_ id: String, _ mode: TerminalMode, _ role: TerminalRole) -> TerminalNotice {
        TerminalNotice(type: "connected", session_id: id, mode: mode, role: role)
    }

    /// Of a process that a signal has ended, the code is -1.
    static func exit(_ exit: ProcessExit) -> TerminalNotice {
        switch exit {
        case .exited(let code): TerminalNotice(type: "exit", exit_code: code)
        case .signalled(let number):
            TerminalNotice(type: "exit", exit_code: -1, signal: names[number] ?? "SIG\(number)")
        }
    }

    static func error(_ code: String, _ error: String) -> TerminalNotice {
        TerminalNotice(type: "error", error: error, code: code)
    }

    var text: String {
        // Texts and whole numbers can all be said in JSON.
        (try? JSONText.of(self)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }

    private static let names: [Int32: String] = [
        SIGHUP: "SIGHUP", SIGINT: "SIGINT", SIGQUIT: "SIGQUIT", SIGILL: "SIGILL", SIGTRAP: "SIGTRAP",
        SIGABRT: "SIGABRT",
        SIGBUS: "SIGBUS", SIGFPE: "SIGFPE", SIGKILL: "SIGKILL", SIGUSR1: "SIGUSR1", SIGSEGV: "SIGSEGV",
        SIGUSR2: "SIGUSR2", SIGPIPE: "SIGPIPE", SIGALRM: "SIGALRM", SIGTERM: "SIGTERM", SIGXCPU: "SIGXCPU",
        SIGXFSZ: "SIGXFSZ", SIGSYS: "SIGSYS",
    ]
}
