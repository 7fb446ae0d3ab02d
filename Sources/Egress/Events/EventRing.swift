/// The last events of a sandbox. What does not fit any more is lost, oldest first, and whoever reads on is told.
struct EventRing: Sendable {
    /// Where a reader is. Numbers begin anew when the guard does: then it is another generation.
    struct Position: Hashable, Sendable, CustomStringConvertible {
        var generation: UInt64
        var number: UInt64

        init(generation: UInt64, number: UInt64) {
            self.generation = generation
            self.number = number
        }

        /// What a client sends back as Last-Event-ID.
        init?(_ text: String) {
            let parts = text.split(separator: "-", omittingEmptySubsequences: false)
            guard parts.count == 2, let generation = UInt64(parts[0]), let number = UInt64(parts[1]) else { return nil }
            self.init(generation: generation, number: number)
        }

        var description: String { "\(generation)-\(number)" }
    }

    /// What a reader gets next.
    struct Batch: Sendable {
        /// Events that the reader will never see; nil where nobody knows how many.
        var lost: UInt64? = 0
        var events: [(position: Position, event: DecisionEvent)] = []
        /// Where the reader is after it.
        var end: Position
    }

    let generation: UInt64
    let capacity: Int
    private var events: [DecisionEvent] = []
    /// The number of the next event; the first is 1.
    private var next: UInt64 = 1

    init(generation: UInt64, capacity: Int) {
        self.generation = generation
        self.capacity = capacity
    }

    mutating func append(_ event: DecisionEvent) {
        if events.count < capacity {
            events.append(event)
        } else {
            events[Int((next - 1) % UInt64(capacity))].become(event)
        }
        next += 1
    }

    /// The events after a position, at most `limit`. Nil begins with the oldest that is there.
    func events(after position: Position?, limit: Int = 64) -> Batch {
        let oldest = next - UInt64(events.count)
        var first = oldest
        var batch = Batch(end: Position(generation: generation, number: next - 1))
        if let position {
            if position.generation != generation || position.number >= next {
                batch.lost = nil
            } else if position.number + 1 < oldest {
                batch.lost = oldest - position.number - 1
            } else {
                first = position.number + 1
            }
        }
        for number in first..<min(next, first + UInt64(limit)) {
            let event = events[Int((number - 1) % UInt64(capacity))]
            batch.events.append((Position(generation: generation, number: number), event))
        }
        if let last = batch.events.last { batch.end = last.position }
        return batch
    }
}
