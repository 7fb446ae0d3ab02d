/// Limits how many jobs run at once, in total and of one owner, so that an owner of slow ones does not hold up the
/// others. Places in the queue are limited per owner as well. A value; its owner runs the jobs.
struct FairQueue<Job> {
    private var most: Int
    private var maxOfOne: Int
    private var maxWaiting: Int
    private var maxWaitingOfOne: Int
    /// The one owner that the limits of one do not hold for.
    private let privileged: String?
    private var running: [String: Int] = [:]
    private var count = 0
    private var waiting: [(key: String, job: Job)] = []
    private var waitingOf: [String: Int] = [:]

    init(
        most: Int = 64, maxOfOne: Int = 4, maxWaiting: Int = 4096, maxWaitingOfOne: Int = 128, privileged: String? = nil
    ) {
        self.privileged = privileged
        (self.most, self.maxOfOne) = (most, maxOfOne)
        (self.maxWaiting, self.maxWaitingOfOne) = (maxWaiting, maxWaitingOfOne)
    }

    enum Answer { case now, later, never }

    /// - Parameter key: whose job it is.
    mutating func ask(_ job: Job, of key: String) -> Answer {
        guard !isFree(key) else {
            begin(key)
            return .now
        }
        guard waiting.count < maxWaiting, key == privileged || waitingOf[key, default: 0] < maxWaitingOfOne else {
            return .never
        }
        waiting.append((key, job))
        waitingOf[key, default: 0] += 1
        return .later
    }

    /// A job of the owner has ended.
    /// - Returns: the next job to run, if any.
    mutating func end(_ key: String) -> (key: String, job: Job)? {
        count -= 1
        running[key]! -= 1
        if running[key] == 0 { running[key] = nil }
        return next()
    }

    /// Sets other limits. What runs goes on, and what waits keeps its place.
    /// - Returns: the jobs that run now because of it.
    mutating func change(most: Int, maxOfOne: Int, maxWaiting: Int, maxWaitingOfOne: Int) -> [(key: String, job: Job)] {
        (self.most, self.maxOfOne) = (most, maxOfOne)
        (self.maxWaiting, self.maxWaitingOfOne) = (maxWaiting, maxWaitingOfOne)
        var begun: [(key: String, job: Job)] = []
        while let job = next() { begun.append(job) }
        return begun
    }

    private mutating func next() -> (key: String, job: Job)? {
        guard let next = waiting.firstIndex(where: { isFree($0.key) }) else { return nil }
        let found = take(next)
        begin(found.key)
        return found
    }

    /// Gives up the place of a job that waits.
    mutating func callOff(_ isMeant: (Job) -> Bool) {
        guard let place = waiting.firstIndex(where: { isMeant($0.job) }) else { return }
        _ = take(place)
    }

    private mutating func take(_ place: Int) -> (key: String, job: Job) {
        let taken = waiting.remove(at: place)
        waitingOf[taken.key]! -= 1
        if waitingOf[taken.key] == 0 { waitingOf[taken.key] = nil }
        return taken
    }

    private func isFree(_ key: String) -> Bool {
        count < most && (key == privileged || running[key, default: 0] < maxOfOne)
    }

    private mutating func begin(_ key: String) {
        count += 1
        running[key, default: 0] += 1
    }
}
