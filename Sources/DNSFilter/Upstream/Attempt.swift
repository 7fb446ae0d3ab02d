/// One sending of a question to one upstream. What comes back must agree with all of it.
struct Attempt: Sendable {
    var upstream: Int32
    var identifier: UInt16
    /// Over TCP, or TLS.
    var overTCP: Bool
    /// Waiting for its answer.
    var isOpen: Bool
    /// It was late, and another one went out because of it.
    var isMissed = false
    /// Which socket or stream it went out by; 0 before it did.
    var socketID: UInt64 = 0
    /// The case of the question's letters: see `QuestionSpelling`.
    var spelling: UInt64
    var sent: UInt64
}

/// A query to send to an upstream.
struct Transmission: Hashable, Sendable {
    var key: CacheKey
    var upstream: Int
    var identifier: UInt16
    var spelling: UInt64
    /// Over TCP (or TLS): the upstream speaks nothing else, or its answer did not fit a datagram.
    var overTCP: Bool
    /// Where `PendingQuestions` keeps the attempt.
    var place: Int32
    var attempt: Int32

    var bytes: [UInt8] {
        Query.forwardedBytes(name: key.name, type: key.type, identifier: identifier, spelling: spelling)
    }

    /// Writes them into an array that is empty.
    func write(to message: inout [UInt8]) {
        Query.writeForwarded(name: key.name, type: key.type, identifier: identifier, spelling: spelling, to: &message)
    }
}

/// Where a response came from.
struct ResponseOrigin: Hashable, Sendable {
    var upstream: Int
    /// The socket or the stream: `Attempt.socketID`.
    var socketID: UInt64
    var overTCP: Bool
}

/// Why there is no answer.
enum ResolutionFailure: Hashable, Sendable {
    /// Nobody answered in time.
    case silence
    /// The network refused.
    case unreachable
    /// Upstreams answered that they cannot say.
    case refused
    /// There is no upstream.
    case noUpstream
}

/// What makes upstreams different.
struct UpstreamTraits: Hashable, Sendable {
    /// Streams only: DNS over TLS.
    var isStream = false
}

/// Bounds of what may wait.
struct PendingLimits: Hashable, Sendable {
    /// Milliseconds that one upstream may take.
    var timeout: UInt64
    var maxQuestions = 8192
    /// Askers of one question.
    var maxWaiters = 512
}
