import Synchronization

/// Fetches of images that go on though all creates that wanted them were called off, since others may want the image. How many
/// creates of one API key wait is bounded by the queue of creates; this bounds what they leave behind, so that a key which asks
/// for images and deletes at once does not take every place for downloads.
final class AbandonedFetches: Sendable {
    /// Of one key; at that number it begins no other until one has ended.
    static let most = 4
    /// Of one fetch. More creates than that never wait for one; the others were called off.
    static let mostTasks = 256

    struct Fetch: Hashable, Sendable {
        /// The id of the key; nil for the server's own. Guards have one of their own, too.
        var caller: String?
        var image: String
        var credentials: RegistryCredentials?
    }

    fileprivate struct State {
        /// How many tasks of the fetch there are.
        var running: [Fetch: Int] = [:]
        /// How many creates wait for it.
        var waiting: [Fetch: Int] = [:]
    }
    private let state = Mutex(State())

    /// Notes a create that waits for a fetch, and the fetch. Each begin is followed by one `leave` and one `end`, in any order.
    /// - Returns: whether it may begin.
    func begin(_ fetch: Fetch) -> Bool {
        state.withLock { state in
            let tasks = state.running[fetch] ?? 0
            guard tasks < Self.mostTasks, tasks > 0 || state.abandoned(by: fetch.caller) < Self.most else {
                return false
            }
            state.running[fetch, default: 0] += 1
            state.waiting[fetch, default: 0] += 1
            return true
        }
    }

    /// The same, where the fetch ends with the last who holds what is returned.
    /// - Throws: `.noCapacity`.
    func enter(_ fetch: Fetch) throws(RuntimeError) -> Run {
        guard begin(fetch) else {
            throw .noCapacity(
                "\(Self.most) images are still being fetched whose sandboxes were deleted: try again in a moment")
        }
        return Run(fetch, self)
    }

    /// A fetch that goes on, for one of those that wanted it.
    final class Run: Sendable {
        private let fetch: Fetch
        private let fetches: AbandonedFetches

        fileprivate init(_ fetch: Fetch, _ fetches: AbandonedFetches) { (self.fetch, self.fetches) = (fetch, fetches) }

        deinit { fetches.end(fetch) }
    }

    /// The create does not wait any more.
    func leave(_ fetch: Fetch) { state.withLock { Self.lower(&$0.waiting, fetch) } }

    /// The fetch has ended.
    func end(_ fetch: Fetch) { state.withLock { Self.lower(&$0.running, fetch) } }

    private static func lower(_ counts: inout [Fetch: Int], _ fetch: Fetch) {
        guard let count = counts[fetch] else { return }
        counts[fetch] = count > 1 ? count - 1 : nil
    }
}

extension AbandonedFetches.State {
    fileprivate func abandoned(by caller: String?) -> Int {
        running.keys.count { $0.caller == caller && waiting[$0] == nil }
    }
}
