import NIOCore

/// Limits frames that cost a peer nothing: WINDOW_UPDATE, GOAWAY and unknown types, which `NIOHTTP2Handler` does not
/// count, and PING, SETTINGS and PRIORITY, for which it has one fixed limit. A peer that receives many bytes or opens
/// many streams may send more. A sandbox opens no streams, and its heads are counted as well: it may send any number of
/// interim responses, no window limits them, and a few bytes on the wire can unpack to the largest head.
struct FrameBudget {
    enum Peer { case client, sandbox }

    /// A client that acknowledges every 4 KiB of a 16 KiB frame, for stream and connection, sends eight.
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
        // gRPC clients send a PING for each DATA frame to measure the round-trip time.
        control.earn(1)
    }

    /// Records a request, or the end of one, sent to a sandbox.
    mutating func sentHead() {
        if peer == .sandbox { opened() }
    }

    private mutating func opened() {
        windowUpdates.earn(Self.perStream)
        others.earn(Self.perStream)
        heads.earn(Self.perStream)
    }

    /// - Returns: false if there are too many.
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

/// An allowance that is refilled in each period and can be increased. The clock is read only when it runs out.
struct FrameAllowance {
    private let most: Int
    private let given: Int
    private let time: TimeAmount
    private var left: Int
    private var givenAt: NIODeadline?

    /// - Parameter most: the most that can be saved. The default is enough for everything that a client with the
    ///   largest window may not have acknowledged.
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
