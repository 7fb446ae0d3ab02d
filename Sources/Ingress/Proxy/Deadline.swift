import NIOCore

/// A time limit that moves with every request. It is met up to `LoopTimer.resolution` late, never early. Moving it on costs a
/// clock reading: it is looked at where it was first due, and put to its place then.
final class Deadline: TimerWheelEntry {
    private let timer: LoopTimer
    private let expired: () -> Void
    private var limit: NIODeadline?
    var place: TimerWheelPlace?

    /// - Parameter expired: called on the loop; must not keep the owner alive.
    init(_ loop: any EventLoop, expired: @escaping () -> Void) {
        timer = LoopTimer.of(loop)
        self.expired = expired
    }

    func set(_ amount: TimeAmount) {
        let now = NIODeadline.now()
        let limit = now + amount
        self.limit = limit
        timer.put(self, at: limit, now: now)
    }

    func clear() {
        limit = nil
        timer.remove(self)
    }

    /// Its place in the wheel has come.
    func reached(_ now: NIODeadline) {
        // What was met before it may have set it anew.
        guard place == nil, let limit else { return }
        if limit > now {
            timer.put(self, at: limit, now: now)
        } else {
            self.limit = nil
            expired()
        }
    }
}
