#if canImport(Glibc)
    import Glibc
#endif

/// How a process ended.
package enum ProcessExit: Hashable, Sendable {
    case exited(Int32)
    case signalled(Int32)

    /// From the status that wait(2) fills in.
    package init(waited status: Int32) {
        let signal = status & 0x7f
        self = signal == 0 ? .exited(status >> 8 & 0xff) : .signalled(signal)
    }

    /// Waits until a child of this process has ended.
    package init(waitingFor process: pid_t) {
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 && errno == EINTR {}
        self.init(waited: status)
    }

    /// As in a shell: 128 plus the number for a signal.
    package var code: Int32 {
        switch self {
        case .exited(let code): code
        case .signalled(let number): 128 + number
        }
    }
}
