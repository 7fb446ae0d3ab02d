import CLinux
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// What other threads ask of one that waits in epoll: its descriptor is readable as soon as a command waits.
public final class CommandQueue<Command: Sendable>: Sendable {
    /// An eventfd, for the thread's epoll set. The queue closes it.
    public let descriptor: CInt
    private let waiting = Mutex<[Command]>([])

    /// - Throws: `SystemCallError` when no descriptors are left.
    public init() throws(SystemCallError) {
        descriptor = linux_eventfd()
        guard descriptor >= 0 else { throw SystemCallError(code: errno) }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// From any thread; commands are taken in the order in which they were sent.
    public func send(_ command: Command) {
        waiting.withLock { $0.append(command) }
        var one: UInt64 = 1
        write(descriptor, &one, 8)
    }

    /// All that wait, and none of them twice. The descriptor is readable again with the next `send`.
    public func take() -> [Command] {
        // Before the look at the list: what is sent in between is found now or reported again, never lost.
        var count: UInt64 = 0
        read(descriptor, &count, 8)
        return waiting.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
    }
}

/// An errno.
public struct SystemCallError: Error, Hashable, Sendable, CustomStringConvertible {
    public let code: CInt

    public init(code: CInt) { self.code = code }

    public var description: String { String(cString: strerror(code)) }
}
