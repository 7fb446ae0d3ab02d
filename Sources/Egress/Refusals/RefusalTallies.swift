import Addresses
import Netfilter
import System

/// What packets have in common that are told together. Source ports differ with each attempt, so they are not part of it.
struct RefusalKey: Hashable {
    var reason: RefusalReason
    var transport: UInt8?
    var destination: IPAddress?
    var port: UInt16?

    init(_ reason: RefusalReason, _ header: PacketHeader?) {
        self.reason = reason
        transport = header?.transport
        destination = header?.destination
        // The sandbox's own ports, of which an outsider can try all.
        port = reason == .inbound ? nil : header?.ports?.destination
    }
}

/// Makes events of refused packets: the first to an address and port is told at once, the next ones are counted and told
/// after a while. A sandbox that floods gets few events, and the last of them says how many packets have none.
struct RefusalTallies: Sendable {
    private struct Tally {
        /// The first packet that is not told yet.
        var waiting: PacketRefusal?
        var told: UInt64
    }

    /// Seconds for which packets are counted before they are told.
    static let window = Sightings.repetition
    /// Events of a sandbox, unless another rate is given: as many at once, and then one a second.
    static let rate = Rate(burst: 64, refill: 1, period: 1)

    private let capacity: Int
    private var tallies: [RefusalKey: Tally] = [:]
    private var limiter: RateLimiter
    /// Packets of which no event tells.
    private var omitted = 0
    private var omittedTold: UInt64?

    init(capacity: Int = 128, rate: Rate = Self.rate) {
        self.capacity = capacity
        limiter = RateLimiter(rate, now: 0)
    }

    /// - Parameter now: seconds of a clock that never goes back.
    /// - Returns: what is to be told now.
    mutating func add(_ refusal: PacketRefusal, now: UInt64) -> PacketRefusal? {
        let key = RefusalKey(refusal.reason, refusal.header)
        if var tally = tallies[key] {
            let count = (tally.waiting?.count ?? 0) + refusal.count
            if tally.waiting == nil { tally.waiting = refusal }
            tally.waiting?.count = count
            tallies[key] = tally
            return nil
        }
        guard tallies.count < capacity, limiter.take(now: now) else {
            omit(refusal.count)
            return nil
        }
        tallies[key] = Tally(told: now)
        return refusal
    }

    /// Packets of which the kernel told no more than that they were.
    mutating func omit(_ count: Int) { omitted += max(0, count) }

    /// What has waited long enough; to be called now and then, also when nothing is refused.
    mutating func settle(now: UInt64) -> (refusals: [PacketRefusal], omitted: Int?) {
        var told: [PacketRefusal] = []
        for (key, tally) in tallies where now >= tally.told + Self.window {
            guard let waiting = tally.waiting else {
                tallies[key] = nil
                continue
            }
            if limiter.take(now: now) { told.append(waiting) } else { omit(waiting.count) }
            tallies[key] = Tally(told: now)
        }
        guard omitted > 0, omittedTold.map({ now >= $0 + Self.window }) ?? true else { return (told, nil) }
        defer { (omitted, omittedTold) = (0, now) }
        return (told, omitted)
    }
}
