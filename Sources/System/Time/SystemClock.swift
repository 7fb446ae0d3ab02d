#if canImport(Glibc)
    import Glibc
#endif

/// The kernel's clocks (clock_gettime(2)).
package enum SystemClock {
    // A monotonic clock that stops while the machine sleeps, for time-outs.

    @inlinable package static func monotonicMilliseconds() -> UInt64 { milliseconds(of: CLOCK_MONOTONIC) }
    @inlinable package static func monotonicNanoseconds() -> UInt64 { nanoseconds(of: CLOCK_MONOTONIC) }

    // A monotonic clock that continues while the machine sleeps, for lifetimes.

    @Sendable package static func bootSeconds() -> UInt64 { UInt64(read(CLOCK_BOOTTIME).tv_sec) }
    @Sendable package static func bootMilliseconds() -> UInt64 { milliseconds(of: CLOCK_BOOTTIME) }

    // Wall clock time since 1970, which may be set.

    @Sendable package static func wallSeconds() -> UInt64 { UInt64(max(0, read(CLOCK_REALTIME).tv_sec)) }
    @Sendable package static func wallMilliseconds() -> UInt64 { milliseconds(of: CLOCK_REALTIME) }
    @Sendable package static func wallNanoseconds() -> UInt64 { nanoseconds(of: CLOCK_REALTIME) }

    @inlinable static func read(_ clock: clockid_t) -> timespec {
        var time = timespec()
        clock_gettime(clock, &time)
        return time
    }

    @inlinable static func nanoseconds(of clock: clockid_t) -> UInt64 {
        let time = read(clock)
        return UInt64(max(0, time.tv_sec)) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    @inlinable static func milliseconds(of clock: clockid_t) -> UInt64 {
        let time = read(clock)
        return UInt64(max(0, time.tv_sec)) * 1000 + UInt64(time.tv_nsec) / 1_000_000
    }
}
