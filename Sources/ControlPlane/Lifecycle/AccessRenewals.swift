import Logging
import NIOHTTP1

/// Prolongs sandboxes that are used, as they asked for when they were made (OSEP-0009): event loops say which, tasks do it.
final class AccessRenewals: Sendable {
    private let wanted: AsyncStream<(id: String, seconds: Int)>
    private let asking: AsyncStream<(id: String, seconds: Int)>.Continuation

    init() { (wanted, asking) = AsyncStream.makeStream() }

    /// Never waits. The route table lets each sandbox ask once in an interval, which bounds what may be waiting.
    func ask(_ id: String, _ seconds: Int) { asking.yield((id, seconds)) }

    /// Renews until the task is cancelled.
    /// - Parameter failed: hears which sandbox was not prolonged.
    func run(_ service: SandboxService, failed: @escaping @Sendable (String) -> Void) async {
        await withDiscardingTaskGroup { group in
            for await (id, seconds) in wanted {
                // Each in its own time: one may have to wait until a change of its sandbox is done.
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
