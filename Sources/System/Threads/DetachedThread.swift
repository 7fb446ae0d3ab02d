#if canImport(Glibc)
    import Glibc
#endif

/// A detached thread, for loops that wait in system calls and must not block a thread of Swift's pool.
package enum DetachedThread {
    /// Runs `body` on a new thread.
    /// - Throws: `SystemCallError` if no thread can be created; then `body` is not run.
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
