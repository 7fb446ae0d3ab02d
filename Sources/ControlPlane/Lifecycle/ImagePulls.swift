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

    private let waiting = Mutex<[Wanted: [AsyncStream<Outcome?>.Continuation]]>([:])

    /// Waits for a pull; `begin` is called where there is none yet, and says whether it may run, which `end` follows.
    func join(
        _ wanted: Wanted, _ waiter: AsyncStream<Outcome?>.Continuation, begin: () -> Bool
    ) -> Bool {
        waiting.withLock { waiting in
            guard waiting[wanted] != nil || begin() else { return false }
            waiting[wanted, default: []].append(waiter)
            return true
        }
    }

    func end(_ wanted: Wanted, _ outcome: Outcome) {
        for waiter in waiting.withLock({ $0.removeValue(forKey: wanted) }) ?? [] { waiter.yield(outcome) }
    }
}
