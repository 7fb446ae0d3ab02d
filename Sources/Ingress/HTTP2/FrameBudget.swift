import NIOCore

/// How many frames a peer may send that cost it nothing: WINDOW_UPDATE, GOAWAY and types that are unknown, which
/// `NIOHTTP2Handler` does not count, and PING, SETTINGS and PRIORITY, of which it allows everybody the same. Who takes many bytes or
/// opens many streams may send many. A sandbox opens none, and its heads are counted, too: those of interim responses may be any
/// number, no window holds them back, and a few bytes on the wire become the largest of heads.
struct FrameBudget {
    enum Peer { case client, sandbox }

    /// Eight are sent by a client that tells every 4 KiB of a frame of 16 KiB, for the stream and for the connection.
    private static let perData = 10
    private static let perStream = 10

    private var windowUpdates: FrameAllowance
    private var others: FrameAllowance
    private var control: FrameAllowance
    private var heads: FrameAllowance
    private let peer: Peer

    init(_ limits: HTTP2Limits, of peer: Peer = .client) {
        self.peer = peer
        heads = FrameAllowance(limits.maxInterimHeads, every: limits.window, most: 10 * limits.maxInterimHeads)
        windowUpdates = FrameAllowance(limits.maxWindowUpdates, every: limits.window)
        others = FrameAllowance(limits.maxUnknownFrames, every: limits.window)
        control = FrameAllowance(limits.maxControlFrames, every: limits.window)
    }

    mutating func sentData() {
        windowUpdates.earn(Self.perData)
        // Clients of gRPC measure the way by a PING for each DATA frame that they get.
        control.earn(1)
    }

    /// To a sandbox: a request, or the end of one.
    mutating func sentHead() {
        if peer == .sandbox { opened() }
    }

    private mutating func opened() {
        windowUpdates.earn(Self.perStream)
        others.earn(Self.perStream)
        heads.earn(Self.perStream)
    }

    /// - Returns: false where there are too many.
    mutating func receives(_ type: UInt8, now: () -> NIODeadline) -> Bool {
        switch type {
        case FrameType.headers:
            if peer == .sandbox { return heads.spend(now) }
            opened()
            return true
        case FrameType.windowUpdate: return windowUpdates.spend(now)
        case FrameType.goaway: return others.spend(now)
        case FrameType.priority, FrameType.settings, FrameType.ping: return control.spend(now)
        default: return type <= FrameType.continuation || others.spend(now)
        }
    }
}

/// Something to spend: so much for nothing in each time, and what is earned. The clock is read when it runs out only.
struct FrameAllowance {
    private let most: Int
    private let given: Int
    private let time: TimeAmount
    private var left: Int
    private var givenAt: NIODeadline?

    /// - Parameter most: what is saved at most; if nothing is said, enough for everything that a client with the largest window
    ///   has not acknowledged.
    init(_ given: Int, every time: TimeAmount, most: Int = 100_000) {
        self.most = most
        self.given = given
        self.time = time
        left = given
    }

    mutating func earn(_ amount: Int) { left = min(left + amount, most) }

    mutating func spend(_ now: () -> NIODeadline) -> Bool {
        if givenAt == nil { givenAt = now() }
        if left == 0, let last = givenAt {
            let now = now()
            guard now - last >= time else { return false }
            givenAt = now
            left = given
        }
        guard left > 0 else { return false }
        left -= 1
        return true
    }
}
