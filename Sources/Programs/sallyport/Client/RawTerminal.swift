import Client
import ProgramSupport
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// The terminal of standard input while it hands every key on. What it was before comes back however the program ends: by itself,
/// by a signal that ends it or stops it, or by a fault of its own; only SIGKILL leaves no time for it.
enum RawTerminal {
    /// What a signal tells the program.
    enum News: Sendable {
        case resized
        /// It is asked to end.
        case ended(by: CInt)
    }

    private static let endings = [SIGTERM, SIGHUP, SIGINT, SIGQUIT]
    private static let faults = [SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS]
    /// What else ends a program that does not await it.
    private static let others = [
        SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU, SIGXFSZ, SIGIO, SIGPWR,
    ]

    // What handlers of signals may touch. Both are written before there is one.
    nonisolated(unsafe) private static var before = termios()
    nonisolated(unsafe) private static var raw = termios()
    private static let isRaw = Atomic(false)
    private static let hasScreen = Atomic(false)
    private static let isEnding = Atomic(false)
    private static let wire = Atomic<CInt>(-1)

    static var isThere: Bool { isatty(STDIN_FILENO) == 1 }

    static var size: TerminalSize {
        var size = winsize()
        guard ioctl(STDIN_FILENO, UInt(TIOCGWINSZ), &size) == 0 else { return TerminalSize(columns: 0, rows: 0) }
        return TerminalSize(columns: size.ws_col, rows: size.ws_row)
    }

    /// Calls `body` while the terminal is raw.
    static func during<Result>(_ body: (AsyncStream<News>) async throws -> Result) async throws -> Result {
        guard tcgetattr(STDIN_FILENO, &before) == 0 else { throw SystemCallError.last }
        raw = before
        cfmakeraw(&raw)
        let news = try listen()
        guard tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0 else { throw SystemCallError.last }
        isRaw.store(true, ordering: .sequentiallyConsistent)
        hasScreen.store(Console.isScreen(STDOUT_FILENO), ordering: .sequentiallyConsistent)
        defer { leave() }
        return try await body(news)
    }

    /// Also called by handlers of signals: it makes system calls alone.
    private static func restore() {
        guard isRaw.exchange(false, ordering: .sequentiallyConsistent) else { return }
        tcsetattr(STDIN_FILENO, TCSANOW, &before)
    }

    /// Puts the screen back, too: an editor in the sandbox that was cut off has not done so. Also called by handlers of signals.
    private static func leave() {
        restore()
        guard hasScreen.exchange(false, ordering: .sequentiallyConsistent) else { return }
        // Where the output is stopped nothing is waited for.
        var screen = pollfd(fd: STDOUT_FILENO, events: Int16(POLLOUT), revents: 0)
        guard poll(&screen, 1, 200) == 1 else { return }
        // Each does nothing where it is so already. Leaving the other screen takes the cursor to where it was saved, so it is
        // saved before; then keys, the cursor, the mouse, focus, paste, attributes.
        let text: StaticString = """
            \u{1b}7\u{1b}[?1049l\u{1b}[?1l\u{1b}>\u{1b}[?25h\
            \u{1b}[?9l\u{1b}[?1000l\u{1b}[?1002l\u{1b}[?1003l\u{1b}[?1005l\u{1b}[?1006l\u{1b}[?1015l\
            \u{1b}[?1004l\u{1b}[?2004l\u{1b}[0m
            """
        write(STDOUT_FILENO, text.utf8Start, text.utf8CodeUnitCount)
    }

    private static func listen() throws(SystemCallError) -> AsyncStream<News> {
        var ends: [CInt] = [-1, -1]
        guard Glibc.pipe(&ends) == 0 else { throw .last }
        wire.store(ends[1], ordering: .sequentiallyConsistent)
        let (news, teller) = AsyncStream<News>.makeStream()
        let reader = ends[0]
        try DetachedThread.start {
            var number: UInt8 = 0
            while read(reader, &number, 1) == 1 || errno == EINTR {
                teller.yield(CInt(number) == SIGWINCH ? .resized : .ended(by: CInt(number)))
            }
        }
        // Made before a handler looks at them.
        isRaw.store(false, ordering: .sequentiallyConsistent)
        isEnding.store(false, ordering: .sequentiallyConsistent)
        hasScreen.store(false, ordering: .sequentiallyConsistent)
        signal(SIGWINCH) { RawTerminal.tell($0) }
        for number in endings { signal(number) { RawTerminal.end($0) } }
        for number in faults + others { signal(number) { RawTerminal.die($0) } }
        signal(SIGTSTP) { _ in
            let wasRaw = RawTerminal.isRaw.load(ordering: .sequentiallyConsistent)
            RawTerminal.restore()
            kill(getpid(), SIGSTOP)
            guard wasRaw else { return }
            tcsetattr(STDIN_FILENO, TCSANOW, &RawTerminal.raw)
            RawTerminal.isRaw.store(true, ordering: .sequentiallyConsistent)
            RawTerminal.tell(SIGWINCH)
        }
        return news
    }

    private static func tell(_ number: CInt) {
        var byte = UInt8(truncatingIfNeeded: number)
        write(wire.load(ordering: .sequentiallyConsistent), &byte, 1)
    }

    /// The first one lets the program end what runs in the sandbox; with a second one it is over.
    private static func end(_ number: CInt) {
        restore()
        if isEnding.exchange(true, ordering: .sequentiallyConsistent) { die(number) }
        tell(number)
    }

    private static func die(_ number: CInt) {
        leave()
        signal(number, SIG_DFL)
        raise(number)
    }
}
