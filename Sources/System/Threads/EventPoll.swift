import CLinux

/// A set of descriptors that one thread waits for (epoll(7)). Others may add to it meanwhile.
///
/// Tokens are the caller's, and are reported as they were given: one that is never given twice lets a late report find
/// nobody, where a descriptor's number may be another's by then.
package struct EventPoll: ~Copyable, Sendable {
    package typealias Event = linux_event
    /// Reports of one turn: more wait for the next.
    package static let maxEvents = 256

    @usableFromInline let descriptor: FileDescriptor

    package init() throws(SystemCallError) { descriptor = try FileDescriptor(linux_epoll_create()) }

    /// - Parameter events: `LINUX_EPOLLIN` and the like. Errors and the other side's end are reported always.
    @inlinable package func add(_ added: CInt, _ events: UInt32 = LINUX_EPOLLIN, token: UInt64) {
        _ = linux_epoll_add(descriptor.number, added, events, token)
    }

    @inlinable package func modify(_ watched: CInt, _ events: UInt32, token: UInt64) {
        _ = linux_epoll_modify(descriptor.number, watched, events, token)
    }

    /// For a descriptor that stays open; closing takes one out, too.
    @inlinable package func remove(_ watched: CInt) { _ = linux_epoll_remove(descriptor.number, watched) }

    /// Memory for `wait`.
    package static func events() -> [Event] { [Event](repeating: Event(), count: maxEvents) }

    /// Waits for reports.
    /// - Parameter milliseconds: -1 for ever.
    /// - Returns: how many there are in `events`: 0 after the time, or after a signal.
    /// - Throws: where nothing can be waited for any more.
    @inlinable package func wait(_ events: inout [Event], milliseconds: CInt = -1) throws(SystemCallError) -> Int {
        let count = linux_epoll_wait(descriptor.number, &events, CInt(events.count), milliseconds)
        if count >= 0 { return Int(count) }
        let error = SystemCallError.last
        guard error.isInterruption else { throw error }
        return 0
    }
}
