import NIOCore
import NIOPosix

/// The deadlines of one event loop, behind one scheduled task. A task for each would be searched for among all of them, under
/// a lock, whenever one is cancelled: that is with each stream that ends.
final class LoopTimer {
    static let resolution = TimeAmount.milliseconds(100)

    /// Each thread, that is each loop, sees its own.
    private nonisolated(unsafe) static let own = ThreadSpecificVariable<LoopTimer>()

    private let loop: any EventLoop
    private var wheel = TimerWheel<Deadline>()
    private var scheduled: (task: Scheduled<Void>, tick: UInt64)?

    private init(_ loop: any EventLoop) { self.loop = loop }

    /// The one of the loop, called on it.
    static func of(_ loop: any EventLoop) -> LoopTimer {
        loop.preconditionInEventLoop()
        if let timer = own.currentValue, timer.loop === loop { return timer }
        let timer = LoopTimer(loop)
        own.currentValue = timer
        return timer
    }

    /// Leaves it where it is when it is looked at soon enough there.
    func put(_ deadline: Deadline, at limit: NIODeadline, now: NIODeadline) {
        let tick = Self.tick(after: limit)
        if let place = deadline.place {
            if place.tick <= tick { return }
            wheel.remove(deadline)
        }
        wheel.add(deadline, at: tick, now: Self.tick(before: now))
        schedule()
    }

    func remove(_ deadline: Deadline) { wheel.remove(deadline) }

    private func schedule() {
        guard let tick = wheel.next else { return }
        if let scheduled, scheduled.tick <= tick { return }
        scheduled?.task.cancel()
        let at = Self.time(of: tick)
        let task = loop.assumeIsolated().scheduleTask(deadline: at) { [weak self] () -> Void in self?.run(at) }
        scheduled = (task, tick)
    }

    private func run(_ at: NIODeadline) {
        scheduled = nil
        // A loop with a clock of its own may be ahead.
        let now = max(.now(), at)
        for deadline in wheel.take(until: Self.tick(before: now)) { deadline.reached(now) }
        schedule()
    }

    private static func tick(before time: NIODeadline) -> UInt64 {
        time.uptimeNanoseconds / UInt64(resolution.nanoseconds)
    }

    /// The first that begins when the time has come.
    private static func tick(after time: NIODeadline) -> UInt64 {
        (time.uptimeNanoseconds + UInt64(resolution.nanoseconds) - 1) / UInt64(resolution.nanoseconds)
    }

    private static func time(of tick: UInt64) -> NIODeadline {
        .uptimeNanoseconds(tick * UInt64(resolution.nanoseconds))
    }
}
