/// A question sent to one upstream once. A response must match all of it.
struct Attempt: Sendable {
    var upstream: Int32
    var identifier: UInt16
    /// Sent over TCP or TLS.
    var overTCP: Bool
    /// Waiting for its answer.
    var isOpen: Bool
    /// Its answer was late, so another attempt was made.
    var isMissed = false
    /// The socket or stream that it was sent through; 0 before that.
    var socketID: UInt64 = 0
    /// The letter case of the question, see `QuestionSpelling`.
    var spelling: UInt64
    var sent: UInt64
}

/// A query to send to an upstream.
struct Transmission: Hashable, Sendable {
    var key: CacheKey
    var upstream: Int
    var identifier: UInt16
    var spelling: UInt64
    /// Over TCP or TLS: the upstream supports nothing else, or its answer did not fit a datagram.
    var overTCP: Bool
    /// The index of its question in `PendingQuestions`.
    var place: Int32
    var attempt: Int32

    var bytes: [UInt8] {
        Query.forwardedBytes(name: key.name, type: key.type, identifier: identifier, spelling: spelling)
    }

    /// Writes the query into an empty array.
    func write(to message: inout [UInt8]) {
        Query.writeForwarded(name: key.name, type: key.type, identifier: identifier, spelling: spelling, to: &message)
    }
}

/// Where a response came from.
struct ResponseOrigin: Hashable, Sendable {
    var upstream: Int
    /// The socket or stream that it arrived on, as in `Attempt.socketID`.
    var socketID: UInt64
    var overTCP: Bool
}

/// Why a question failed.
enum ResolutionFailure: Hashable, Sendable {
    /// No upstream answered in time.
    case silence
    /// No upstream could be reached.
    case unreachable
    /// Upstreams answered with an error code.
    case refused
    /// There is no upstream.
    case noUpstream
}

/// Properties of an upstream.
struct UpstreamTraits: Hashable, Sendable {
    /// Only streams, for DNS over TLS.
    var isStream = false
}

/// Limits of `PendingQuestions`.
struct PendingLimits: Hashable, Sendable {
    /// Milliseconds to wait for one upstream.
    var timeout: UInt64
    var maxQuestions = 8192
    /// The most waiters for one question.
    var maxWaiters = 512
}
