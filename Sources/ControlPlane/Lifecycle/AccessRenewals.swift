import Logging
import NIOHTTP1

/// Renews sandboxes on access, if they asked for that when they were made (OSEP-0009). Event loops report accesses,
/// tasks renew.
final class AccessRenewals: Sendable {
    private let wanted: AsyncStream<(id: String, seconds: Int)>
    private let asking: AsyncStream<(id: String, seconds: Int)>.Continuation

    init() { (wanted, asking) = AsyncStream.makeStream() }

    /// Never blocks. The route table lets each sandbox ask once per interval, which bounds the queue.
    func ask(_ id: String, _ seconds: Int) { asking.yield((id, seconds)) }

    /// Renews until the task is cancelled.
    /// - Parameter failed: called with a sandbox that could not be renewed.
    func run(_ service: SandboxService, failed: @escaping @Sendable (String) -> Void) async {
        await withDiscardingTaskGroup { group in
            for await (id, seconds) in wanted {
                // Concurrently, since one may have to wait for another change of its sandbox.
                group.addTask {
                    do throws(APIError) {
                        try await service.prolong(id, toAtLeast: .now().adding(seconds: seconds))
                    } catch {
                        guard error.status != .notFound else { return }
                        service.logger.error(
                            "renewing a sandbox on access failed",
                            metadata: ["sandbox": "\(id)", "error": "\(error.message)"])
                        failed(id)
                    }
                }
            }
        }
    }
}
