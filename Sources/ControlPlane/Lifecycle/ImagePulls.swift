import NIOHTTP1
import Runtimes
import Synchronization

/// The pulls in progress, and who waits for them. Equal ones of one caller are one: who asks again takes no second place.
final class ImagePulls: Sendable {
    typealias Outcome = Result<KeptImage, APIError>

    struct Wanted: Hashable, Sendable {
        /// The id of the key; nil for the server's own.
        var owner: String?
        var image: String
        var credentials: RegistryCredentials?
    }

    private struct State {
        /// Who waits, by numbers. A pull that runs has its entry, though nobody may wait for it any more.
        var pulls: [Wanted: [UInt64: AsyncStream<Outcome?>.Continuation]] = [:]
        var last: UInt64 = 0
    }

    /// How many may wait for one pull.
    static let mostWaiters = 256

    private let state = Mutex(State())

    /// Waits for a pull; `begin` is called where there is none yet, and says whether it may run, which `end` follows.
    /// - Returns: the waiter's number, for `leave`.
    /// - Throws: 429, where neither another pull nor another waiter has a place.
    func join(
        _ wanted: Wanted, _ waiter: AsyncStream<Outcome?>.Continuation, begin: () -> Bool
    ) throws(APIError) -> UInt64 {
        try state.withLock { state throws(APIError) in
            if let waiters = state.pulls[wanted] {
                guard waiters.count < Self.mostWaiters else {
                    throw APIError(
                        .tooManyRequests, "SANDBOX::CAPACITY_EXHAUSTED",
                        "\(Self.mostWaiters) requests wait for this image already: try again in a moment")
                }
            } else {
                guard begin() else { throw .queueFull }
            }
            state.last += 1
            state.pulls[wanted, default: [:]][state.last] = waiter
            return state.last
        }
    }

    /// Waits no longer; the pull goes on.
    func leave(_ wanted: Wanted, _ number: UInt64) {
        state.withLock { state in _ = state.pulls[wanted]?.removeValue(forKey: number) }
    }

    func end(_ wanted: Wanted, _ outcome: Outcome) {
        let waiters = state.withLock { $0.pulls.removeValue(forKey: wanted) } ?? [:]
        for waiter in waiters.values { waiter.yield(outcome) }
    }
}
