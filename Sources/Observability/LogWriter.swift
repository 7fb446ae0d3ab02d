import SafeText
import Synchronization
import System

#if canImport(Glibc)
    import Glibc
#endif

/// Brings the standard error of a program and of all that it starts into a file, through a process of its own that ends when the
/// last of them has: what was said is in the file however the program ends, and one process alone rotates it.
package enum LogWriter {
    /// The standard error that the program was started with; -1 where it still is that.
    private static let original = Atomic<CInt>(-1)
    private static let name = "log-writer"

    /// - Throws: `LogFileError`, if the file cannot be written to.
    package static func start(_ settings: LogFileSettings) throws(LogFileError) {
        do throws(SystemCallError) {
            // What is wrong with it is said to whoever starts the program. The other process opens it anew.
            try LogFile.check(settings)
            var ends: [CInt] = [-1, -1]
            guard pipe(&ends) == 0 else { throw .last }
            let own = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)
            guard own >= 0, fcntl(ends[0], F_SETFD, FD_CLOEXEC) == 0 else { throw .last }
            original.store(own, ordering: .relaxed)
            try keep(settings, input: ends[0], console: own)
            guard dup2(ends[1], STDERR_FILENO) >= 0 else { throw .last }
            close(ends[1])
        } catch { throw LogFileError(path: settings.path, code: error.code) }
    }

    /// Starts the process, and again whenever it ends. The pipe stays open meanwhile, so that nothing is lost.
    private static func keep(_ settings: LogFileSettings, input: CInt, console: CInt) throws(SystemCallError) {
        var launch = ProcessLaunch(["sallyport", name] + settings.arguments, environment: [])
        launch.program = "/proc/self/exe"
        (launch.input, launch.output, launch.error) = (input, console, console)
        launch.hasOwnGroup = true
        // It has to write what others said last.
        launch.endsWithThread = false
        let first = try launch.start()
        // Signals are for the threads that wait for them. This one inherits what is blocked.
        var all = sigset_t(), before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        try DetachedThread.start { [launch] in
            var process = first
            var backOff = BackOff(first: 100, longest: 5000)
            while true {
                _ = ProcessExit(waitingFor: process)
                complain("sallyport: the process that writes the log has ended and is started again\n")
                var next: pid_t?
                while next == nil {
                    usleep(UInt32(backOff.next()) * 1000)
                    next = try? launch.start()
                }
                process = next!
            }
        }
    }

    /// Says something where the program was started, if its log goes elsewhere.
    package static func complain(_ text: String) {
        let console = original.load(ordering: .relaxed)
        guard console >= 0 else { return }
        try? File.write(Array(ForeignText.escapedLines(text).joined(separator: "\n").utf8), to: console)
    }

    /// What that process does: writes what comes until nobody is left who could say anything. Signals do not end it before.
    package static func run(_ settings: LogFileSettings) throws(LogFileError) {
        for number in [SIGTERM, SIGINT, SIGHUP, SIGPIPE] { signal(number, SIG_IGN) }
        var log = try open(settings)
        var chunk = [UInt8](repeating: 0, count: 64 << 10), rest: [UInt8] = []
        while true {
            var watched = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
            let isWaiting = log.look() || settings.maxAge > 0
            guard poll(&watched, 1, isWaiting ? 1000 : -1) != 0 else {
                log.rotateIfOld()
                continue
            }
            let count = read(STDIN_FILENO, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { break }
            // Whole lines as far as they have come, so that a rotation is between two of them.
            rest += chunk[..<count]
            let end =
                (rest.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 }) ?? (rest.count < chunk.count ? 0 : rest.count)
            write(Array(rest[..<end]), to: &log)
            rest.removeFirst(end)
        }
        write(rest, to: &log)
        log.finish()
    }

    /// A predecessor may still write what was said last.
    private static func open(_ settings: LogFileSettings) throws(LogFileError) -> LogFile {
        for _ in 0..<50 {
            if let log = try? LogFile(settings) { return log }
            usleep(100_000)
        }
        do throws(SystemCallError) { return try LogFile(settings) } catch {
            throw LogFileError(path: settings.path, code: error.code)
        }
    }

    /// A full disk must not swallow what is said of it.
    private static func write(_ bytes: [UInt8], to log: inout LogFile) {
        guard !bytes.isEmpty else { return }
        let left = log.append(bytes)
        if !left.isEmpty { try? File.write(left, to: STDERR_FILENO) }
    }
}

package struct LogFileError: Error, CustomStringConvertible {
    let path: String
    let code: CInt

    package var description: String {
        let why =
            switch code {
            case ELOOP: "it is a symbolic link"
            case EEXIST: "it is not a file of this user alone"
            case EAGAIN: "another server writes to it"
            default: String(cString: strerror(code))
            }
        return "the log file \(path) cannot be written to: \(why) (log.file_path)"
    }
}

extension LogFileSettings {
    /// For the command line, where everybody may read them: none is a secret.
    fileprivate var arguments: [String] {
        [path, "\(maxBytes)", "\(backups)", "\(maxAge)", compresses ? "gzip" : "plain"]
    }

    package init?(arguments: [String]) {
        guard arguments.count == 5, let maxBytes = Int(arguments[1]), let backups = Int(arguments[2]),
            let maxAge = Int(arguments[3]), maxBytes > 0, maxBytes < .max / 4, (0...1000).contains(backups), maxAge >= 0
        else { return nil }
        (path, self.maxBytes, self.backups, self.maxAge) = (arguments[0], maxBytes, backups, maxAge)
        compresses = arguments[4] == "gzip"
    }
}
