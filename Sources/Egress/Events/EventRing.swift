/// The last events of a sandbox. Older ones are dropped, and readers that missed them are told how many.
struct EventRing: Sendable {
    /// A reader's position. Numbers restart with the guard, as a new generation.
    struct Position: Hashable, Sendable, CustomStringConvertible {
        var generation: UInt64
        var number: UInt64

        init(generation: UInt64, number: UInt64) {
            self.generation = generation
            self.number = number
        }

        /// Parses a Last-Event-ID.
        init?(_ text: String) {
            let parts = text.split(separator: "-", omittingEmptySubsequences: false)
            guard parts.count == 2, let generation = UInt64(parts[0]), let number = UInt64(parts[1]) else { return nil }
            self.init(generation: generation, number: number)
        }

        var description: String { "\(generation)-\(number)" }
    }

    /// What a reader gets next.
    struct Batch: Sendable {
        /// How many events the reader has missed; nil if that is unknown.
        var lost: UInt64? = 0
        var events: [(position: Position, event: DecisionEvent)] = []
        /// The reader's position after this batch.
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

    /// The events after a position, at most `limit`. Nil starts with the oldest one left.
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
