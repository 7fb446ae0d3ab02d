import System
import Tracing

/// Runs blocking work (disk, netlink) outside the cooperative thread pool, whose few threads must never block.
package enum Blocking {
    /// More threads than processors, since netlink calls wait for locks in the kernel.
    private static let threads = WorkerPool(maxThreads: 8)

    package static func run<T: Sendable>(_ body: @escaping @Sendable () throws(EgressError) -> T)
        async throws(EgressError) -> T
    {
        try await threads.runForRequest(body)
    }

    /// The same of what may fail.
    /// - Returns: why it failed; nil if it did not.
    static func attempt(_ body: @escaping @Sendable () throws(EgressError) -> Void) async -> String? {
        do throws(EgressError) {
            try await run(body)
            return nil
        } catch { return error.description }
    }
}
