import Synchronization

/// How many creates run at once, and how many more may wait for them, in the order in which they came. What is beyond that is
/// refused before anything is made of it, so that a burst costs neither memory nor the time of creates before it.
package struct CreateLimits: Hashable, Sendable {
    package var running = 50
    package var waiting = 200
}

final class CreateQueue: Sendable {
    private struct Turn {
        let owner: String
        var hasCome: Bool
        let arrival: AsyncStream<Void>
        let arrive: AsyncStream<Void>.Continuation
    }
    private struct State {
        var queue: FairQueue<String>
        /// Of every create that has a place, by the sandbox's id.
        var turns: [String: Turn] = [:]
    }

    private let state: Mutex<State>
    /// Whoever has no named key: the server's own key, or nobody. A named key may have half of all places, so that one which
    /// asks for what never ends leaves room for the others.
    private static let nobody = ""

    init(_ limits: CreateLimits) {
        state = Mutex(
            State(
                queue: FairQueue(
                    most: limits.running, maxOfOne: max(1, limits.running / 2), maxWaiting: limits.waiting,
                    maxWaitingOfOne: max(1, limits.waiting / 2), privileged: Self.nobody)))
    }

    /// Sets other limits. Creates that run or wait keep their places.
    func change(_ limits: CreateLimits) {
        state.withLock { state in
            let begun = state.queue.change(
                most: limits.running, maxOfOne: max(1, limits.running / 2), maxWaiting: limits.waiting,
                maxWaitingOfOne: max(1, limits.waiting / 2))
            for next in begun { Self.begin(next.job, &state) }
        }
    }

    private static func begin(_ id: String, _ state: inout State) {
        state.turns[id]?.hasCome = true
        state.turns[id]?.arrive.yield()
    }

    /// Takes a place for a create, which `leave` gives back.
    /// - Parameter owner: the id of the named key that asks; nil for none.
    /// - Returns: false if there is none.
    func enter(_ id: String, of owner: String?) -> Bool {
        state.withLock { state in
            let answer = state.queue.ask(id, of: owner ?? Self.nobody)
            guard answer != .never else { return false }
            let (arrival, arrive) = AsyncStream<Void>.makeStream()
            if answer == .now { arrive.yield() }
            state.turns[id] = Turn(
                owner: owner ?? Self.nobody, hasCome: answer == .now, arrival: arrival, arrive: arrive)
            return true
        }
    }

    /// Waits for the turn of a create that has a place.
    /// - Returns: false if its task was cancelled before.
    func turn(_ id: String) async -> Bool {
        guard let arrival = state.withLock({ $0.turns[id]?.arrival }) else { return false }
        for await _ in arrival { return !Task.isCancelled }
        return false
    }

    /// Whether a create still waits for others.
    func isWaiting(_ id: String) -> Bool { state.withLock { $0.turns[id].map { !$0.hasCome } ?? false } }

    /// How many are at work, and wait for those.
    var counts: (running: Int, waiting: Int) {
        state.withLock { state in
            let running = state.turns.values.count { $0.hasCome }
            return (running, state.turns.count - running)
        }
    }

    /// Gives back a create's place, whether its turn has come or not.
    func leave(_ id: String) {
        state.withLock { state in
            guard let turn = state.turns.removeValue(forKey: id) else { return }
            guard turn.hasCome else { return state.queue.callOff { $0 == id } }
            guard let next = state.queue.end(turn.owner) else { return }
            Self.begin(next.job, &state)
        }
    }
}
