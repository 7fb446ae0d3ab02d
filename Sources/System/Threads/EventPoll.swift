import CLinux

/// A set of descriptors that one thread waits for (epoll(7)). Other threads may add to it meanwhile.
///
/// Events are reported with the caller's tokens. Use each token once: then a late event matches nothing, whereas a
/// descriptor's number may have been reused.
package struct EventPoll: ~Copyable, Sendable {
    package typealias Event = linux_event
    /// The most events per wait; others are reported by the next.
    package static let maxEvents = 256

    @usableFromInline let descriptor: FileDescriptor

    package init() throws(SystemCallError) { descriptor = try FileDescriptor(linux_epoll_create()) }

    /// - Parameter events: `LINUX_EPOLLIN` and the like. Errors and hang-ups are always reported.
    @inlinable package func add(_ added: CInt, _ events: UInt32 = LINUX_EPOLLIN, token: UInt64) {
        _ = linux_epoll_add(descriptor.number, added, events, token)
    }

    @inlinable package func modify(_ watched: CInt, _ events: UInt32, token: UInt64) {
        _ = linux_epoll_modify(descriptor.number, watched, events, token)
    }

    /// For a descriptor that stays open; closing also removes it.
    @inlinable package func remove(_ watched: CInt) { _ = linux_epoll_remove(descriptor.number, watched) }

    /// A buffer for `wait`.
    package static func events() -> [Event] { [Event](repeating: Event(), count: maxEvents) }

    /// Waits for events.
    /// - Parameter milliseconds: -1 for no limit.
    /// - Returns: the number of events in `events`: 0 after the time limit or a signal.
    /// - Throws: if waiting is no longer possible.
    @inlinable package func wait(_ events: inout [Event], milliseconds: CInt = -1) throws(SystemCallError) -> Int {
        let count = linux_epoll_wait(descriptor.number, &events, CInt(events.count), milliseconds)
        if count >= 0 { return Int(count) }
        let error = SystemCallError.last
        guard error.isInterruption else { throw error }
        return 0
    }
}
