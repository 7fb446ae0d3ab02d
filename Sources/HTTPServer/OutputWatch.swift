import NIOCore

#if canImport(Glibc)
    import Glibc
#endif

/// Whether a client takes what it is sent, fast enough. A value without I/O.
struct OutputProgress: Hashable, Sendable {
    /// Bytes that the client had taken when it was last looked at.
    private var taken: Int
    /// Bytes that it has to take until the next look.
    private var due: Int

    /// - Parameters:
    ///   - handed: all that was given to the connection so far.
    ///   - unread: what of it the client has not taken, in this process and in the kernel.
    ///   - least: what a client has to take between two looks, or all there is.
    init(handed: Int, unread: Int, least: Int) {
        taken = handed &- unread
        due = min(least, unread)
    }

    /// - Returns: whether it has taken enough since the last look, which this one replaces.
    mutating func goesOn(handed: Int, unread: Int, least: Int) -> Bool {
        let goesOn = (handed &- unread) &- taken >= due
        self = OutputProgress(handed: handed, unread: unread, least: least)
        return goesOn
    }
}

/// Watches a connection while bytes wait that its client does not take: it costs nothing while there are none, and a stream
/// that has nothing to say may be silent for as long as it likes. Belongs to the connection's event loop.
final class OutputWatch {
    private let channel: any Channel
    private let limits: HTTPLimits
    /// All that was given to the connection so far.
    private let handed: () -> Int
    private let stalled: () -> Void
    private var progress: OutputProgress?
    private var timer: Scheduled<Void>?

    /// - Parameter stalled: called when the client has taken too little; must not keep the owner alive.
    init(_ channel: any Channel, _ limits: HTTPLimits, handed: @escaping () -> Int, stalled: @escaping () -> Void) {
        (self.channel, self.limits, self.handed, self.stalled) = (channel, limits, handed, stalled)
    }

    /// Something waits.
    func watch() {
        guard timer == nil else { return }
        progress = OutputProgress(handed: handed(), unread: unread, least: limits.stallProgress)
        start()
    }

    func end() {
        timer?.cancel()
        timer = nil
    }

    private func start() {
        timer = channel.eventLoop.assumeIsolated().scheduleTask(in: limits.stallTimeout) { [weak self] in self?.look() }
    }

    private func look() {
        timer = nil
        guard Self.waiting(channel) > 0, var progress else { return }
        guard progress.goesOn(handed: handed(), unread: unread, least: limits.stallProgress) else { return stalled() }
        self.progress = progress
        start()
    }

    /// What the kernel has not taken yet of what was written.
    static func waiting(_ channel: any Channel) -> Int {
        (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    }

    /// The kernel holds megabytes for a client that reads, and asks for more only when much of it is gone (tcp(7)): what waits
    /// here alone would tell a slow client from none too late.
    private var unread: Int {
        let queued = try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(
            of: NIOBSDSocket.Handle.self
        ) { socket -> Int in
            var count: CInt = 0
            return ioctl(socket, UInt(TIOCOUTQ), &count) == 0 ? Int(count) : 0
        }
        return Self.waiting(channel) + (queued.flatMap { $0 } ?? 0)
    }
}
