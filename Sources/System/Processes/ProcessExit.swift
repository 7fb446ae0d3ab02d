import CLinux

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

    /// The same for a child that may never end: one that waits in the kernel for storage that does not answer ends by no signal.
    /// - Parameter end: is called when the time is over, to end it.
    /// - Returns: nil if it took longer than the limit. It is waited for in the background then, so that nothing stays of it.
    package static func of(
        _ process: pid_t, within milliseconds: Int, orElse end: () -> Void
    ) -> ProcessExit? {
        let watch = linux_pidfd_open(process)
        defer { if watch >= 0 { close(watch) } }
        // Without a descriptor nothing can be waited for.
        guard watch >= 0, FileDescriptor.isReadable(watch, within: milliseconds) else {
            end()
            if watch >= 0, FileDescriptor.isReadable(watch, within: ending) {
                _ = ProcessExit(waitingFor: process)
            } else {
                // Without a thread it stays, as a zombie, until this process ends.
                try? DetachedThread.start { _ = ProcessExit(waitingFor: process) }
            }
            return nil
        }
        return ProcessExit(waitingFor: process)
    }

    /// Milliseconds that a process has to end when it is killed.
    private static let ending = 2000

    /// As in a shell: 128 plus the number for a signal.
    package var code: Int32 {
        switch self {
        case .exited(let code): code
        case .signalled(let number): 128 + number
        }
    }
}
