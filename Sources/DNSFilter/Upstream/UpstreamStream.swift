import System

/// A TCP or TLS connection to an upstream. Queries are pipelined (RFC 7766, section 6.2.1.1).
struct UpstreamStream {
    var descriptor: CInt
    var upstream: Int
    var incoming = StreamBuffer()
    var outgoing: [UInt8] = []
    var tls: TLSSession?
    /// Queries that have no answer yet.
    var outstanding = 0
    var answers = 0
    /// When to close it if nothing arrives.
    var deadline: UInt64

    static let maxOutstanding = 1024
    /// TCP connections to one upstream at most; over TLS one.
    static let maxPerUpstream = 4
    /// Milliseconds for which an unused connection is kept. Longer for TLS, where opening one costs more.
    static let idle: UInt64 = 2000
    static let idleTLS: UInt64 = 30_000

    /// Tracks whether connections to an upstream succeed, and when the next may be tried.
    struct Link {
        private(set) var reconnectAt: UInt64 = 0
        private var backOff = BackOff(first: 250, longest: 8000)
        /// Why the last connection failed, for the operator.
        private(set) var trouble: String?

        mutating func answered() {
            (reconnectAt, trouble) = (0, nil)
            backOff.reset()
        }

        mutating func failed(now: UInt64, _ reason: String) {
            trouble = reason
            reconnectAt = now + backOff.next()
        }
    }
}
