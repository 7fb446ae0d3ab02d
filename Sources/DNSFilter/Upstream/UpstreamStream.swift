/// A TCP or TLS connection to an upstream. Queries go out one after the other without waiting (RFC 7766, section 6.2.1.1).
struct UpstreamStream {
    var descriptor: CInt
    var upstream: Int
    var incoming = StreamBuffer()
    var outgoing: [UInt8] = []
    var tls: TLSSession?
    /// Queries without an answer.
    var outstanding = 0
    var answers = 0
    /// Closed then, when nothing comes.
    var deadline: UInt64

    static let maxOutstanding = 1024
    /// Connections to one upstream over TCP; over TLS it is one.
    static let maxPerUpstream = 4
    /// Milliseconds that an unused connection is kept: setting one up costs TLS more.
    static let idle: UInt64 = 2000
    static let idleTLS: UInt64 = 30_000

    /// The upstream's side of an exchange went well or not at all; says when it may be connected to again.
    struct Link {
        static let firstPause: UInt64 = 250
        static let maxPause: UInt64 = 8000

        private(set) var reconnectAt: UInt64 = 0
        private var pause: UInt64 = 0
        /// For the operator: why the last connection failed.
        private(set) var trouble: String?

        mutating func answered() { (pause, reconnectAt, trouble) = (0, 0, nil) }

        mutating func failed(now: UInt64, _ reason: String) {
            trouble = reason
            pause = pause == 0 ? Self.firstPause : min(2 * pause, Self.maxPause)
            reconnectAt = now + pause
        }
    }
}
