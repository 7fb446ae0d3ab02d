import CLinux
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Commands from other threads to one that waits in epoll. The descriptor is readable as soon as a command is waiting.
package final class CommandQueue<Command: Sendable>: Sendable {
    private let event: FileDescriptor
    private let waiting = Mutex<[Command]>([])

    /// - Throws: `SystemCallError` when no descriptors are left.
    package init() throws(SystemCallError) {
        event = try FileDescriptor(linux_eventfd())
    }

    /// An eventfd, for the thread's epoll set. The queue closes it.
    package var descriptor: CInt { event.number }

    /// May be called from any thread. Commands keep their order.
    package func send(_ command: Command) {
        waiting.withLock { $0.append(command) }
        var one: UInt64 = 1
        write(descriptor, &one, 8)
    }

    /// Removes and returns all waiting commands. The descriptor is readable again after the next `send`.
    package func take() -> [Command] {
        // Reset before reading the list, so that a command sent in between is either found now or reported again.
        var count: UInt64 = 0
        read(descriptor, &count, 8)
        return waiting.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
    }
}
