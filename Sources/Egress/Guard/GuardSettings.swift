import Glibc
import NetworkPolicy

/// What every guard of a node has in common.
struct GuardSettings: Sendable {
    var filter: AnswerFilter
    var alwaysDeny: [CIDRBlock]
    var maxRules: Int
    var maxLearnedAddresses: Int
    var minimumLifetime: UInt32
    var lifetimeGrace: UInt32
    /// Events that a sandbox's ring holds: some 50 KiB when full of long names.
    var eventsKept = 256
    /// Whole seconds of a clock that never goes back.
    var now: @Sendable () -> UInt64
    /// Milliseconds since 1970, for what people read.
    var time: @Sendable () -> UInt64 = GuardSettings.milliseconds

    init(_ configuration: EgressConfiguration, now: @escaping @Sendable () -> UInt64 = GuardSettings.monotonicSeconds) {
        filter = AnswerFilter(
            internalZones: configuration.internalZones, internalRanges: configuration.internalRanges)
        alwaysDeny = configuration.alwaysDeny
        maxRules = configuration.maxRules
        maxLearnedAddresses = configuration.maxLearnedAddresses
        minimumLifetime = configuration.minimumLifetime
        lifetimeGrace = configuration.lifetimeGrace
        self.now = now
    }

    @Sendable static func monotonicSeconds() -> UInt64 {
        var present = timespec()
        clock_gettime(CLOCK_BOOTTIME, &present)
        return UInt64(present.tv_sec)
    }

    @Sendable static func milliseconds() -> UInt64 {
        var present = timespec()
        clock_gettime(CLOCK_REALTIME, &present)
        return UInt64(present.tv_sec) * 1000 + UInt64(present.tv_nsec) / 1_000_000
    }

    /// Seconds for which an address is open that a record of this time to live has taught. No longer than a day,
    /// whatever the record says: the kernel's memory of it must end.
    func lifetime(of timeToLive: UInt32) -> UInt64 {
        UInt64(min(max(timeToLive, minimumLifetime), 86_400)) + UInt64(lifetimeGrace)
    }
}
