/// How long to wait before another attempt to connect: twice as long each time, up to a limit.
public struct RedisBackOff: Sendable {
    private let shortest: Duration
    private let longest: Duration
    private var next: Duration

    public init(shortest: Duration = .milliseconds(100), longest: Duration = .seconds(5)) {
        self.shortest = shortest
        self.longest = longest
        next = shortest
    }

    /// - Parameter random: 0 to 1, so that clients that lost their connections together do not return together.
    public mutating func pause(random: Double = .random(in: 0...1)) -> Duration {
        defer { next = min(next * 2, longest) }
        return next * (0.5 + 0.5 * random)
    }

    public mutating func reset() { next = shortest }
}
