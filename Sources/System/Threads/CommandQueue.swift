import CLinux
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// What other threads ask of one that waits in epoll: its descriptor is readable as soon as a command waits.
package final class CommandQueue<Command: Sendable>: Sendable {
    private let event: FileDescriptor
    private let waiting = Mutex<[Command]>([])

    /// - Throws: `SystemCallError` when no descriptors are left.
    package init() throws(SystemCallError) {
        event = try FileDescriptor(linux_eventfd())
    }

    /// An eventfd, for the thread's epoll set. The queue closes it.
    package var descriptor: CInt { event.number }

    /// From any thread; commands are taken in the order in which they were sent.
    package func send(_ command: Command) {
        waiting.withLock { $0.append(command) }
        var one: UInt64 = 1
        write(descriptor, &one, 8)
    }

    /// All that wait, and none of them twice. The descriptor is readable again with the next `send`.
    package func take() -> [Command] {
        // Before the look at the list: what is sent in between is found now or reported again, never lost.
        var count: UInt64 = 0
        read(descriptor, &count, 8)
        return waiting.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
    }
}
