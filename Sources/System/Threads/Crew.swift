import Synchronization

/// Threads that take items from one queue, in order, and do the same thing with each. They are created on demand.
final class Crew<Item: Sendable>: @unchecked Sendable {
    private struct State {
        var waiting: [Item] = []
        /// The index of the next item; those before it are done.
        var next = 0
        var taken = 0
        var threads = 0
        var idle = 0
        var isDismissed = false

        var count: Int { waiting.count - next }

        mutating func pop() -> Item? {
            guard next < waiting.count else { return nil }
            let item = waiting[next]
            next += 1
            taken &+= 1
            if next == waiting.count {
                waiting.removeAll(keepingCapacity: waiting.capacity <= 64)
                next = 0
            } else if next > 64, next > waiting.count / 2 {
                waiting.removeFirst(next)
                next = 0
            }
            return item
        }
    }

    /// How far the work is.
    struct Progress: Sendable {
        var waiting: Int
        /// Items taken out of the queue, ever.
        var taken: Int
    }

    private let maxThreads: Int
    private let perform: @Sendable (Item) -> Void
    private let state = Mutex(State())
    /// Counts waiting items, plus one for each thread that should end.
    private let signals = Semaphore()

    init(maxThreads: Int, perform: @escaping @Sendable (Item) -> Void) {
        self.maxThreads = max(1, maxThreads)
        self.perform = perform
    }

    var progress: Progress { state.withLock { Progress(waiting: $0.count, taken: $0.taken) } }

    /// - Returns: whether all threads were busy, and no other may be created.
    @discardableResult func take(_ item: Item) -> Bool {
        var (needsThread, isFull) = state.withLock { state in
            state.waiting.append(item)
            guard state.count > state.idle else { return (false, false) }
            guard state.threads < maxThreads else { return (false, true) }
            state.threads += 1
            return (true, false)
        }
        // Those that there are may all wait for this very item.
        if needsThread, !hire() { isFull = true }
        signals.signal()
        return isFull
    }

    /// One thread more, beyond the number, since those that there are wait for each other or for something else. It ends when
    /// nothing is waiting.
    func help(atMost limit: Int) {
        let isNeeded = state.withLock { state in
            guard state.count > 0, state.threads < limit else { return false }
            state.threads += 1
            return true
        }
        if isNeeded { hire() }
    }

    /// - Returns: whether there is a thread more.
    @discardableResult private func hire() -> Bool {
        do throws(SystemCallError) {
            try DetachedThread.start { [self] in serve() }
            return true
        } catch {
            // No thread can be created: existing ones do the work, or the caller if there are none.
            let item = state.withLock { state in
                state.threads -= 1
                return state.threads == 0 ? state.pop() : nil
            }
            if let item { perform(item) }
            return false
        }
    }

    func dismiss() {
        let threads = state.withLock { state in
            state.isDismissed = true
            return state.threads
        }
        for _ in 0..<threads { signals.signal() }
    }

    private func serve() {
        while true {
            let isHelp = state.withLock { state in
                // Not needed any more.
                guard state.count > 0 || state.threads <= maxThreads else {
                    state.threads -= 1
                    return true
                }
                state.idle += 1
                return false
            }
            if isHelp { return }
            signals.wait()
            let (item, isOver) = state.withLock { state -> (Item?, Bool) in
                state.idle -= 1
                let item = state.pop()
                return (item, item == nil && state.isDismissed)
            }
            if let item { perform(item) }
            if isOver { return }
        }
    }
}
