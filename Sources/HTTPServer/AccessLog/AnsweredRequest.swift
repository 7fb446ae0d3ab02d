import NIOHTTP1

/// A request that no relay had, when all of its answer has been sent.
package struct AnsweredRequest: Sendable {
    /// Nil where it could not be read.
    package var method: HTTPMethod?
    /// The pattern of its route; nil where there is none.
    package var route: String?
    /// With the parameters of its route.
    package var request: HTTPRequest
    package var reply: Reply
    package var id: String
    /// Until the answer had been sent.
    package var nanoseconds: UInt64 = 0
    /// Of the bodies.
    package var bytesIn = 0
    package var bytesOut = 0
    /// The answer is not whole.
    package var isBroken = false
    /// It is not whole since the client had enough of it, which is no error.
    package var isClientGone = false

    package var status: Int { Int(reply.status.code) }
}
