import NIOPosix

/// Runs what blocks (disk, netlink, libcurl) away from the cooperative pool, whose few threads must never wait.
package enum Blocking {
    /// Netlink's answers wait for the kernel's locks, not for a processor: more threads than those.
    private static let threads: NIOThreadPool = {
        let pool = NIOThreadPool(numberOfThreads: 8)
        pool.start()
        return pool
    }()

    package static func run<T: Sendable>(_ body: @escaping @Sendable () throws(EgressError) -> T)
        async throws(EgressError) -> T
    {
        let result: Result<T, EgressError>
        do {
            result = try await threads.runIfActive { () -> Result<T, EgressError> in
                do throws(EgressError) { return .success(try body()) } catch { return .failure(error) }
            }
        } catch {
            throw .kernel("the program is shutting down")
        }
        return try result.get()
    }
}
