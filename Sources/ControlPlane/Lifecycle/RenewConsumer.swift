import FoundationEssentials
import Ingress
import Logging
import NIOCore
import Redis
import SecureAccess
import System

/// Takes what gateways in other processes say of used sandboxes from the Redis list (OSEP-0009), and has the route table
/// prolong them as if the access had come through this process: the same interval holds for both.
struct RenewConsumer: Sendable {
    let settings: Settings.Renewal.Redis
    let routes: RouteTable
    let logger: Logger

    /// An access that was longer ago says nothing about now.
    static let oldest: Int64 = 300
    /// For so long no other server looks at the same sandbox: more than a renewal takes.
    static let lockSeconds = 10
    static let lockPrefix = "opensandbox:renew:lock:"
    /// A pop waits for so long; a connection that is silent for longer is dead.
    private static let wait = 5
    private static let silence = TimeAmount.seconds(20)

    /// Consumes with as many workers as are set, until the task is cancelled.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<settings.workers { group.addTask { await work() } }
        }
    }

    private func work() async {
        var backOff = BackOff.redis
        while !Task.isCancelled {
            do {
                try await RedisSession.with(settings.address, silence: Self.silence) { session in
                    while !Task.isCancelled {
                        let popped = try await session.send(["BRPOP", settings.queue, String(Self.wait)])
                        backOff.reset()
                        guard case .array(let pair?) = popped, pair.count == 2, case .bulk(let json?) = pair[1] else {
                            continue
                        }
                        guard let id = Self.wanted(json, now: .now()), routes.renews(id) else { continue }
                        if try await isFirst(id, &session) { routes.accessed(sandbox: id, renew: true) }
                    }
                }
            } catch {
                guard !Task.isCancelled else { return }
                logger.warning(
                    "renewals cannot be received",
                    metadata: ["redis": "\(settings.address)", "error": "\(error)"])
                try? await Task.sleep(for: backOff.spread())
            }
        }
    }

    /// Which sandbox an intent is about; nil for what is malformed or too old.
    static func wanted(_ json: [UInt8], now: Timestamp) -> String? {
        guard let intent = RenewIntent(json: json), let time = Timestamp(intent.observedAt),
            now.seconds - time.seconds <= oldest
        else { return nil }
        return intent.sandbox
    }

    /// Whether no other server is at it: the lock goes by itself.
    private func isFirst(_ id: String, _ session: inout RedisSession) async throws -> Bool {
        let answer = try await session.send([
            "SET", Self.lockPrefix + id, Secrets.hexadecimal(SecureRandom.bytes(8)), "NX", "EX",
            String(Self.lockSeconds),
        ])
        return answer == .simple("OK")
    }
}
