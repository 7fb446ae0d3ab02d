import CLinux

#if canImport(Glibc)
    import Glibc
#endif

/// sem_overview(7): one thread waits, another or a signal handler ends that.
package final class Semaphore: @unchecked Sendable {
    /// A semaphore must not move.
    private let raw = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    package init() { sem_init(raw, 0, 0) }

    deinit {
        sem_destroy(raw)
        raw.deallocate()
    }

    /// Lets one `wait` return. Safe in a signal handler.
    package func signal() { sem_post(raw) }

    package func wait() { while sem_wait(raw) != 0 {} }

    /// - Parameter deadline: nanoseconds of `SystemClock.monotonicNanoseconds`, at which it returns in any case; nil: none.
    package func wait(until deadline: UInt64?) {
        guard let deadline else { return wait() }
        while linux_semaphore_wait(raw, deadline) == -EINTR {}
    }
}
