import FoundationEssentials
import Ingress
import Logging
import NIOCore
import Redis
import SecureAccess
import System

/// Reads reports of gateways in other processes from the Redis list (OSEP-0009), and treats them like accesses through
/// this process, with the same interval.
struct RenewConsumer: Sendable {
    let settings: Settings.Renewal.Redis
    let routes: RouteTable
    let logger: Logger

    /// Older reports are ignored.
    static let oldest: Int64 = 300
    /// How long other servers leave the same sandbox alone; longer than a renewal takes.
    static let lockSeconds = 10
    static let lockPrefix = "opensandbox:renew:lock:"
    /// Seconds that a pop waits; a connection that is silent for longer is dead.
    private static let wait = 5
    private static let silence = TimeAmount.seconds(20)

    /// Consumes with the configured number of workers, until the task is cancelled.
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

    /// The sandbox of an intent; nil if the intent is malformed or too old.
    static func wanted(_ json: [UInt8], now: Timestamp) -> String? {
        guard let intent = RenewIntent(json: json), let time = Timestamp(intent.observedAt),
            now.seconds - time.seconds <= oldest
        else { return nil }
        return intent.sandbox
    }

    /// Whether no other server is handling it. The lock expires by itself.
    private func isFirst(_ id: String, _ session: inout RedisSession) async throws -> Bool {
        let answer = try await session.send([
            "SET", Self.lockPrefix + id, Secrets.hexadecimal(SecureRandom.bytes(8)), "NX", "EX",
            String(Self.lockSeconds),
        ])
        return answer == .simple("OK")
    }
}
