import NIOPosix

/// Runs blocking work (disk, netlink, libcurl) outside the cooperative thread pool, whose few threads must never block.
package enum Blocking {
    /// More threads than processors, since netlink calls wait for locks in the kernel.
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
