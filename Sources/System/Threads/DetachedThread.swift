#if canImport(Glibc)
    import Glibc
#endif

/// A thread that nobody joins: for loops that wait in system calls, which must not hold a thread of Swift's pool.
package enum DetachedThread {
    /// Runs `body` on a thread of its own.
    /// - Throws: `SystemCallError` where the system has no thread left; `body` is not run then.
    package static func start(_ body: sending @escaping () -> Void) throws(SystemCallError) {
        let work = Unmanaged.passRetained(Work(body))
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { argument in
                Unmanaged<Work>.fromOpaque(argument!).takeRetainedValue().body()
                return nil
            }, work.toOpaque())
        guard status == 0 else {
            work.release()
            throw SystemCallError(code: status)
        }
        pthread_detach(thread)
    }

    private final class Work {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }
}
