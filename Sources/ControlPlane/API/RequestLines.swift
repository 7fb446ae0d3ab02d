import HTTPServer
import HTTPWire
import Ingress
import NIOHTTP1

/// The lifecycle API's lines in the access log.
struct RequestLines: Sendable {
    let log: AccessLog
    /// Whether whoever sent a request has a key.
    let isKnown: @Sendable (HTTPRequest) -> Bool

    func note(_ answered: AnsweredRequest) {
        let isError = answered.status >= 400 || answered.isBroken
        guard log.wants(isError: isError) else { return }
        let isKnown = answered.method != nil && isKnown(answered.request)
        log.note(Self.line(answered, isKnown: isKnown), isError: isError, isStranger: !isKnown)
    }

    static func line(_ answered: AnsweredRequest, isKnown: Bool) -> AccessLine {
        var line = AccessLine(answered.method, route: answered.route ?? "unknown")
        let parameters = answered.request.parameters
        // An id of somebody without a key is a text of a stranger.
        if isKnown, answered.route?.contains("/sandboxes/{id}") == true, let id = parameters["id"],
            Route.isSandboxID(id)
        {
            line.sandbox = id
            line.port = parameters["port"].flatMap { UInt16($0) }.map(Int.init)
        }
        line.status = answered.status
        if answered.status >= 400 { line.code = RequestAudit.code(answered.reply) }
        (line.bytesIn, line.bytesOut) = (answered.bytesIn, answered.bytesOut)
        line.nanoseconds = answered.nanoseconds
        line.request = answered.id
        line.end = answered.isBroken ? "broken off" : answered.isClientGone ? "the client has gone" : nil
        return line
    }
}
