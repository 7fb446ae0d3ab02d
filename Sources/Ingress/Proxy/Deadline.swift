import NIOCore

/// A time limit that moves with every request. Moving it costs a clock reading: the task that is scheduled looks, when it
/// runs, whether the limit has moved on, and is scheduled anew then.
final class Deadline {
    private let loop: any EventLoop
    private let expired: () -> Void
    private var limit: NIODeadline?
    private var scheduled: (task: Scheduled<Void>, at: NIODeadline)?

    /// - Parameter expired: called on the loop; must not keep the owner alive.
    init(_ loop: any EventLoop, expired: @escaping () -> Void) {
        self.loop = loop
        self.expired = expired
    }

    func set(_ amount: TimeAmount) {
        let limit = NIODeadline.now() + amount
        self.limit = limit
        if let scheduled, scheduled.at <= limit { return }
        scheduled?.task.cancel()
        schedule(limit)
    }

    func clear() {
        limit = nil
        scheduled?.task.cancel()
        scheduled = nil
    }

    private func schedule(_ at: NIODeadline) {
        let task = loop.assumeIsolated().scheduleTask(deadline: at) { [weak self] in
            guard let self else { return }
            scheduled = nil
            guard let limit else { return }
            if limit > NIODeadline.now() {
                schedule(limit)
            } else {
                self.limit = nil
                expired()
            }
        }
        scheduled = (task, at)
    }
}
