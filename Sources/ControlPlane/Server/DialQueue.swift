/// Limits concurrent dials, in total and per sandbox, so that a sandbox with slow servers does not hold up the others.
/// Places in the queue are limited per sandbox as well. A value; its owner runs the dials.
struct DialQueue<Dial> {
    private let most: Int
    private let maxOfOne: Int
    private let maxWaiting: Int
    private let maxWaitingOfOne: Int
    private var running: [String: Int] = [:]
    private var count = 0
    private var waiting: [(key: String, dial: Dial)] = []
    private var waitingOf: [String: Int] = [:]

    init(most: Int = 64, maxOfOne: Int = 4, maxWaiting: Int = 4096, maxWaitingOfOne: Int = 128) {
        (self.most, self.maxOfOne) = (most, maxOfOne)
        (self.maxWaiting, self.maxWaitingOfOne) = (maxWaiting, maxWaitingOfOne)
    }

    enum Answer { case now, later, never }

    /// - Parameter key: which sandbox.
    mutating func ask(_ dial: Dial, of key: String) -> Answer {
        guard !isFree(key) else {
            begin(key)
            return .now
        }
        guard waiting.count < maxWaiting, waitingOf[key, default: 0] < maxWaitingOfOne else { return .never }
        waiting.append((key, dial))
        waitingOf[key, default: 0] += 1
        return .later
    }

    /// A dial of the sandbox has ended.
    /// - Returns: the next dial to run, if any.
    mutating func end(_ key: String) -> (key: String, dial: Dial)? {
        count -= 1
        running[key]! -= 1
        if running[key] == 0 { running[key] = nil }
        guard let next = waiting.firstIndex(where: { isFree($0.key) }) else { return nil }
        let found = waiting.remove(at: next)
        waitingOf[found.key]! -= 1
        if waitingOf[found.key] == 0 { waitingOf[found.key] = nil }
        begin(found.key)
        return found
    }

    private func isFree(_ key: String) -> Bool { count < most && running[key, default: 0] < maxOfOne }

    private mutating func begin(_ key: String) {
        count += 1
        running[key, default: 0] += 1
    }
}
